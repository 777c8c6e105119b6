"""How long it takes until a change that another process made shows in the answers."""
