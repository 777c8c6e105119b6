"""Page loads as browsers make them: each file once, and the next user comes.

`visits` says what a browser asks for, `cases` who comes when, `servers` who answers.
"""
