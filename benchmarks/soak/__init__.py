"""Whether the server stays what it is over minutes of everything that users and networks do."""
