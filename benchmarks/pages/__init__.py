"""Page loads as browsers make them: each file once, and the next user comes."""
