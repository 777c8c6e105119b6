"""How long commands take that look at everybody, and how much memory."""
