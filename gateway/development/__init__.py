"""`gateway dev`: the folder that a bundler writes is one user's version of a plugin.

Nobody else sees it, and nothing is published: `plugins/shared/` and the database stay as they are.

    developed_plugin.py   which plugin, for which user, and the builds that were seen of it
"""
