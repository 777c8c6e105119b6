"""A site to look at: two plugins, three users, a host page that loads a user's plugins."""
