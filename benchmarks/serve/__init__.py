"""How fast files are served, against a bare application and against other file servers.

`cells` says what is asked, `contestants` who is asked, `entries` tries every answer once, `rounds`
measures, and `tables` shows it. `pages` and `upstream` measure other requests by the same rounds.
"""
