"""The two tables as BrainDrive-Core makes them, for a database of our own.

The database of an application has its own tables: this module is not used for it.
"""

CREATE_TABLES = (
    """
    CREATE TABLE plugin (
        id VARCHAR NOT NULL PRIMARY KEY, plugin_slug VARCHAR NOT NULL, name VARCHAR NOT NULL,
        description VARCHAR NOT NULL, version VARCHAR NOT NULL, type VARCHAR DEFAULT 'frontend',
        plugin_type VARCHAR, enabled BOOLEAN, icon VARCHAR, category VARCHAR, status VARCHAR,
        official BOOLEAN, author VARCHAR, last_updated VARCHAR, compatibility VARCHAR,
        downloads INTEGER, scope VARCHAR, bundle_method VARCHAR, bundle_location VARCHAR,
        is_local BOOLEAN, long_description TEXT, source_type VARCHAR, source_url TEXT,
        update_check_url TEXT, last_update_check TIMESTAMP, update_available BOOLEAN,
        latest_version VARCHAR, installation_type VARCHAR, permissions TEXT, config_fields TEXT,
        messages TEXT, dependencies TEXT, required_services_runtime TEXT, endpoints_file VARCHAR,
        route_prefix VARCHAR, backend_dependencies TEXT, created_at VARCHAR, updated_at VARCHAR,
        user_id VARCHAR NOT NULL,
        UNIQUE (user_id, plugin_slug)
    )
    """,
    """
    CREATE TABLE module (
        id VARCHAR NOT NULL, plugin_id VARCHAR NOT NULL, name VARCHAR NOT NULL,
        display_name VARCHAR, description VARCHAR, icon VARCHAR, category VARCHAR, enabled BOOLEAN,
        priority INTEGER, props TEXT, config_fields TEXT, messages TEXT, required_services TEXT,
        dependencies TEXT, layout TEXT, tags TEXT, created_at VARCHAR, updated_at VARCHAR,
        user_id VARCHAR NOT NULL,
        PRIMARY KEY (id, plugin_id)
    )
    """,
    # The application's table lacks it. Public requests name a slug and no user.
    "CREATE INDEX ix_plugin_plugin_slug ON plugin (plugin_slug)",
)
