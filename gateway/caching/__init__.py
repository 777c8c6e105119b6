"""TTL caches in front of slow sources, and how a decision asks them.

ttl_cache.py is the cache. basis.py asks it for a decision, at once or by waiting for a load.
breaker.py leaves a source alone for a while after it has failed.
"""
