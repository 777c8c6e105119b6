"""RFC 9110 and 9111: what a request asks for and what an answer says."""
