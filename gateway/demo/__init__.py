"""A site to try: two plugins, three users, and a host page that loads a user's plugins."""
