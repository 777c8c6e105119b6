"""How fast files are served, against a bare application and against other file servers."""
