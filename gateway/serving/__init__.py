"""Which file does this user get? READS: the lookups, the decision, the file in memory.

    lookups.py        what has the user installed, and at which version? two TTL caches
    resolver.py       the decision: user and URL in, one file of one version out, or a refusal
    asset_store.py    the bytes of that file, their ETag and encoded variants, in memory
    manifest_cache.py the JSON that a page loads first: all plugins of its user

The caches are filled from database/ and disk/. Nothing here changes what a user has, and nothing
here knows lifecycle/, which does.
"""
