"""A TTL cache between each question and its source, and what a decision asks caches through.

ttl_cache.py is the cache; basis.py is how a decision asks it, at once or waiting for a load. A
source that fails is left alone for a while by breaker.py.
"""
