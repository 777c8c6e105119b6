"""The OpenAPI document of the HTTP API, `/-/openapi.json`.

The operations are values (operations.py), one file for each group of routes. Their bodies are the
types that the routes work with, and their errors are classes of the error tree: statuses, codes and
fields are taken from there. document.py writes them down, for the routes that these settings give.

A new route needs an operation here, with the errors that its docstrings name. A test compares the
operations with the routes, and schemathesis the document with a running server.
"""
