"""Every URL. A module reads a request, asks the rings below for the decision, and answers."""
