"""The tables `plugin` and `module`: which version each user has. Asked when a cache misses.

Serving asks plugin_database.py, for many users in one query; commands that look at all users ask
survey.py; lifecycle/ writes through transactions.py. SQLite and PostgreSQL, the application's
tables or our own (schema.py).
"""
