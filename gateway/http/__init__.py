"""What an answer must be: RFC 9110, 9111 and 9112, in functions without a socket or a clock.

request_reader.py cuts requests out of bytes. planning.py decides what a request for a
representation is answered with: status, fields, which bytes. The rest are the rules it asks.
"""
