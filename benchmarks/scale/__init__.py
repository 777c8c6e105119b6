"""What grows with the number of users, and what must not."""
