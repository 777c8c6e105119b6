"""`gateway serve`: a supervisor and its workers. A request arrives at a worker.

The supervisor opens the listening socket once (listener.py), starts the workers and replaces
those that die. Each worker (worker.py) is one process with one event loop, in which uvicorn hands
every accepted connection to hot_path/protocol.py.
"""
