"""Minutes of everything at once: what the server holds must stay, and no answer may be a 5xx."""
