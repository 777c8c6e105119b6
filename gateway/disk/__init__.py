"""`plugins/` on disk: users' JSON files, the files of every version, the cache folder.

Asked when a cache misses. Every file is opened without following links and read within a bound;
every write leaves the old content or the new, also after a crash. Functions block, unless they are
async: callers run them in threads.

    storage.py          the storage API, over these three folders:
    users_folder.py     users/user_<id>/installed_plugins.json    what a user has installed
    shared_folder.py    shared/<slug>/v<version>/                 the files of a version
    cache_folder.py     cache/                                    what can be made again
"""
