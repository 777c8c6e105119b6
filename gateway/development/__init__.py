"""The folder that a bundler writes is one user's version of a plugin.

Nobody else sees it, and nothing is published: `plugins/shared/` and the database stay as they are.

    plugin_folder.py       which files of a folder are a build
    build_watch.py         when a build is finished
    snapshots.py           copies of builds, each a version of its own
    developed_plugin.py    the plugin, its user, its builds, and those who wait for the next one
    source.py              looks at the folder, and applies each build as a change
    overlaid_storage.py    what stands before `plugins/`
    overlaid_database.py   what stands before the two tables
    dev_server.py          a bundler's own server, in the place of the folder
    development.py         all of this, as the core takes it
"""
