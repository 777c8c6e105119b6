"""Commands that look after a site."""
