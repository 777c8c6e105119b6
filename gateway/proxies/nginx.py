"""nginx's configuration, for each mode. Tests run a real nginx (tests/proxies).

Two rules keep nginx from serving what the gateway would refuse. First, nginx itself answers only
a plain GET or HEAD of a plain path with an allowed suffix. If nginx normalised the path, it passes
the request on with the path as it was sent. Second, nginx sends files only from the trees of
disk/pinned_trees.py, which contain only files that may be served.
"""

import textwrap
from collections.abc import Sequence
from typing import NamedTuple

from gateway.http.cache_policy import Lifetimes
from gateway.http.cors import EXPOSED
from gateway.proxies import NEVER_FROM_CLIENTS, PIN, PLUGIN, Entrance, Text, Upstream
from gateway.proxies.dictionaries import FileTypes, file_types
from gateway.proxies.nginx_dictionaries import dictionary_fields, dictionary_maps, path_pattern
from gateway.proxies.nginx_origin import (
    application_first,
    application_location,
    application_maps,
    bare_location,
    redirect,
    tls_lines,
)

_COMPLETE = Text("""\
# This is a complete configuration; `nginx -t -c FILE` checks it. --site prints only the part inside
# http {}, for /etc/nginx/conf.d/.
worker_processes auto;
pcre_jit on;
%{modules}
events {
    worker_connections 4096;
}

http {
%{body}
}
""")

_HEAD = Text("""\
# nginx in front of the plugin gateway, mode "%{mode}". `gateway proxy-config nginx` printed it
# for the gateway's settings. Print it again when they change.
""")

# What /etc/nginx/nginx.conf sets for all servers is inside server {}: twice is an error for nginx.
_HTTP = Text("""\
# Each node has two lines here. If a node fails, nginx leaves it alone for two seconds. If it would
# have to leave all nodes alone, as in a rolling restart, it asks the lines with `backup`.
upstream plugin_gateway {
    server %{upstream} fail_timeout=2s;
    server %{upstream} max_fails=0 backup;
    keepalive 32;                   # idle connections that each nginx worker keeps open
    keepalive_timeout 4s;           # the gateway closes idle connections after 5 s
}
%{permissions}%{maps}%{origin}
server {
    listen %{listen};
    server_name %{server_name};
%{tls}
    types {
%{types}
    }
    default_type application/octet-stream;
    server_tokens off;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 100000;
    access_log off;                 # writing a line costs more than answering the request

    # Every request to the gateway has these fields. An empty value removes the client's field.
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_set_header Host $http_host;
    proxy_set_header X-Forwarded-For $remote_addr;
    proxy_set_header X-Forwarded-Proto $scheme;
    proxy_set_header X-Original-URI "";
    proxy_set_header X-Request-ID $request_id;  # names the request in the gateway's log
    proxy_set_header %{identity_header} %{user};
%{removed}
    proxy_next_upstream error timeout;  # if a node does not answer, nginx asks the next one
    proxy_connect_timeout 5s;
    proxy_max_temp_file_size 0;     # large files are not written to the disk on their way

    # proxy_pass has no path here, so nginx passes the path on as it was sent.
    location / {
%{first}        proxy_pass http://plugin_gateway;
    }
    location @gateway {
        proxy_pass http://plugin_gateway;
    }

    # nginx must refuse these: the gateway answers them for every client on this machine.
    # --metrics-allow opens the metrics to some clients, by the addresses of their connections.
    location = /-/metrics {
%{metrics}    }
    location = /-/authorize {
        return 404;
    }
%{application}%{locations}}
""")

_CLOSED = """\
        return 404;
"""

_OPEN_TO_SCRAPERS = Text("""\
%{allowed}        deny all;
        error_page 403 = @closed;
        proxy_pass http://plugin_gateway;
    }
    location @closed {
        return 404;
""")

_USER_MAP = """
# identity.chain has "proxy": nginx tells the gateway who the user is. Replace the second "" by the
# variable that your authentication sets ($remote_user, $ssl_client_s_dn, one of auth_request_set).
map "" $plugin_user {
    default "";
}
"""

_CORS_MAPS = Text("""
# The pages of http.cors_origins may read answers.
map $http_origin $plugin_origin {
    default "";
%{origins}
}
map $plugin_origin $plugin_exposed {
    "" "";
    default "%{exposed}";
}
map $plugin_origin $plugin_credentials {
    "" "";
    default "true";
}
""")

_CORS_FIELDS = """\
add_header Access-Control-Allow-Origin $plugin_origin;
add_header Access-Control-Allow-Credentials $plugin_credentials;
add_header Access-Control-Expose-Headers $plugin_exposed;
"""

_SENT_FIELDS = Text("""\
add_header Cache-Control %{cache_control};
add_header X-Content-Type-Options nosniff;
add_header Last-Modified "";        # the file's time is derived from its content, for the ETag
%{policy}%{vary}%{cors}%{dictionaries}""")

# Documents of such types can contain scripts. With this policy a browser runs no script.
_POLICY_FIELD = Text("""\
add_header Content-Security-Policy "%{policy}";
""")

_TREES = Text("""
    # nginx sends files only from plugins/cache/pinned. There the gateway keeps copies of the files
    # that may be served, and their encoded variants. Only the gateway answers correctly what has
    # a path that nginx normalised, a range or a rare condition (421), or another method (405).
    open_file_cache max=20000 inactive=60s;
    open_file_cache_valid 2s;
    open_file_cache_errors on;
    gzip_static on;
    gzip_proxied any;
    log_not_found off;
    %{brotli}
""")

_NO_BROTLI = "# brotli_static on;             # --brotli; needs libnginx-mod-http-brotli-static"

_PREFIX = Text("""%{bare}
    location %{prefix} {
%{first}        proxy_pass http://plugin_gateway;

%{files}    }
""")

# nginx itself would answer ranges and conditions with the fields of a 200, or break off (1.22,
# If-Match). A condition for each field is cheaper than a map with a joined key.
_FILES = Text("""\
        location ~ "^%{pattern}$" {
%{first}            if ($request_uri != $uri$is_args$args) { return 421; }
            if ($http_range != "") { return 421; }
            if ($http_if_match != "") { return 421; }
            if ($http_if_unmodified_since != "") { return 421; }
%{question}            alias "%{file}";
            gzip off;                   # otherwise nginx could encode a variant once more
            gzip_vary off;              # Vary has all
            error_page %{statuses} = @gateway;
%{fields}        }
""")

_PINNED_REMARK = """\
        # URLs with a pin: whoever knows the pin may have the file, and nginx asks nobody.
        # If the file is not in a tree, the gateway answers, with 410 if the build was removed.
"""

# For other methods there is nothing to ask.
_QUESTION = """\
            if ($request_method !~ ^(?:GET|HEAD)$) { return 405; }
            auth_request /-/permission;
            auth_request_set $plugin_tree $upstream_http_x_plugin_tree;
"""

_CREDENTIAL_MAP = Text("""
# nginx asks for a permission with this credential, and remembers the permission under it. It is
# empty on routes where credentials do not count, and spaces around a bearer token are removed.
map $request_uri $plugin_open {
    default 0;
%{routes}}
map $plugin_open$http_authorization $plugin_credential {
    default $http_authorization;
    "~^1" "";
    "~*^0bearer +(?<plugin_token>[A-Za-z0-9_.-]+) *$" "Bearer $plugin_token";
}
""")

_NAMED_USER_MAP = """
map $plugin_open $plugin_named_user {
    default $plugin_user;
    1 "";
}
"""

# 64 MiB: a permission takes a block of 4 KiB, so that this remembers 16,000 of them.
_PERMISSION_CACHE = Text("""
# nginx remembers each permission for as long as the gateway says (X-Accel-Expires), which is at
# most delivery.authorize_ttl seconds. The files in this folder contain credentials as keys, so it
# should be in memory. nginx makes it inaccessible for other users.
proxy_cache_path %{folder} levels=1:2 keys_zone=plugin_permissions:4m
    max_size=64m inactive=1m use_temp_path=off;
request_pool_size 8k;
""")

_PERMISSION = Text("""
    # nginx asks once for each credential, plugin and pin, and the answer names the tree. nginx
    # remembers no refusal: the gateway itself answers the refused request.
    location = /-/permission {
        internal;
        proxy_pass http://plugin_gateway/-/authorize;
        proxy_pass_request_body off;
        proxy_pass_request_headers off;
        proxy_set_header Connection "";
        proxy_set_header Content-Length "";     # no body follows
        proxy_set_header X-Request-ID $request_id;
        proxy_set_header Authorization $plugin_credential;
        proxy_set_header %{identity_header} %{user};
        proxy_set_header X-Original-URI $request_uri;
        proxy_ignore_headers Cache-Control Expires Vary Set-Cookie;
        proxy_buffer_size 4k;
        proxy_cache plugin_permissions;
        proxy_cache_key "$plugin_question %{user_in_key}$plugin_credential";
        proxy_cache_lock on;
        proxy_intercept_errors on;
        error_page 400 401 404 405 409 410 422 429 500 502 503 504 =403 @refused;
    }
    location @refused {
        return 403;
    }
""")

_ACCEL = Text("""
    # The gateway names the file (X-Accel-Redirect), and nginx sends it. nginx drops some fields of
    # the gateway's answer; add_header repeats them.
%{folders}""")

_ACCEL_FOLDER = Text("""\
    location ^~ %{prefix}/%{name}/ {
        internal;
        alias "%{plugins}/%{name}/";
        disable_symlinks on "from=%{plugins}/%{name}";
        gzip off;                       # otherwise nginx could encode a variant once more
        gzip_static off;
        open_file_cache off;            # installers overwrite these files in place
        etag off;
        add_header ETag $upstream_http_etag;
        add_header Content-Encoding $upstream_http_content_encoding;
        add_header X-Content-Type-Options $upstream_http_x_content_type_options;
        add_header Content-Security-Policy $upstream_http_content_security_policy;
        add_header X-Request-ID $upstream_http_x_request_id;
%{fields}    }
""")


class Options(NamedTuple):
    """What only nginx's configuration depends on."""

    permissions_folder: str
    brotli: bool
    complete: bool
    """False: only the part inside http {}."""


def configuration(upstream: Upstream, entrance: Entrance, options: Options) -> str:
    head, body = _HEAD.substitute(mode=upstream.mode), _http_part(upstream, entrance, options)
    if not options.complete:
        return head + body
    modules = "include /etc/nginx/modules-enabled/*.conf;\n" if options.brotli else ""
    return head + _COMPLETE.substitute(modules=modules, body=textwrap.indent(body, "    "))


def _http_part(upstream: Upstream, entrance: Entrance, options: Options) -> str:
    listen, server_name, tls, scrapers = entrance
    server_name = server_name or "_"
    user = "$plugin_user" if upstream.proxy_identifies else '""'
    return _HTTP.substitute(
        types=_types(upstream),
        upstream=f'"unix:{upstream.address}"' if upstream.is_socket else upstream.address,
        permissions=(
            _PERMISSION_CACHE.substitute(folder=options.permissions_folder)
            if upstream.mode == "authorize"
            else ""
        ),
        maps=_maps(upstream),
        origin=_origin_maps(upstream, redirected=server_name if tls and not listen else None),
        listen=f"{listen or 443} ssl http2" if tls else listen or "80",
        server_name=server_name,
        tls=tls_lines(tls) if tls else "",
        first=_first(upstream, 8),
        application=application_location(upstream, user) if upstream.application else "",
        identity_header=upstream.identity_header,
        user=user,
        removed=_removed_fields(),
        metrics=_metrics(scrapers),
        locations=_locations(upstream, brotli=options.brotli),
    )


def _metrics(scrapers: Sequence[str]) -> str:
    """The inside of the location of the metrics."""
    allowed = "".join(f"        allow {network};\n" for network in scrapers)
    return _OPEN_TO_SCRAPERS.substitute(allowed=allowed) if scrapers else _CLOSED


def _origin_maps(upstream: Upstream, redirected: str | None) -> str:
    """`redirected`: the server name for which port 80 redirects to HTTPS."""
    maps = application_maps(upstream) if upstream.application else ""
    return maps if redirected is None else maps + redirect(redirected)


def _prefix(upstream: Upstream, below_api: str, files: str) -> str:
    """The paths that begin with `below_api`, which ends with a slash."""
    prefix, first = upstream.api + below_api, _first(upstream, 8)
    bare = bare_location(prefix.removesuffix("/"), first) if first else ""
    return _PREFIX.substitute(bare=bare, prefix=prefix, first=first, files=files)


def _first(upstream: Upstream, indent: int) -> str:
    return application_first(indent) if upstream.application else ""


def _types(upstream: Upstream) -> str:
    return "\n".join(
        f'        "{content_type}" {" ".join(suffixes)};'
        for content_type, suffixes in upstream.content_types.items()
    )


def _removed_fields() -> str:
    return "".join(
        f'    proxy_set_header {name} "";\n'
        + (f"    proxy_hide_header {name};\n" if name.startswith("X-Plugin") else "")
        for name in NEVER_FROM_CLIENTS
    )


def _maps(upstream: Upstream) -> str:
    maps = _USER_MAP if upstream.proxy_identifies else ""
    if upstream.mode == "proxy":
        return maps
    if upstream.mode == "authorize":
        routes = [f'    "~^{upstream.api_pattern}/{name}/" 1;\n' for name in upstream.open_routes]
        maps += _CREDENTIAL_MAP.substitute(routes="".join(routes))
        maps += _NAMED_USER_MAP if upstream.proxy_identifies else ""
        maps += _pin_map("plugin_private", upstream.private)
        if upstream.has_public or upstream.has_signed:
            maps += _pin_map("plugin_public", upstream.public)
    if upstream.origins:
        maps += _CORS_MAPS.substitute(
            origins="\n".join(f'    "{origin}" "{origin}";' for origin in upstream.origins),
            exposed=EXPOSED.decode(),
        )
    sends_files = upstream.mode == "authorize" or upstream.has_public
    return maps + (dictionary_maps(upstream) if upstream.dictionaries and sends_files else "")


def _pin_map(name: str, lifetimes: Lifetimes) -> str:
    return (
        f"\nmap $plugin_pin ${name} {{\n"
        f'    "" "{lifetimes.unpinned}";\n    default "{lifetimes.pinned}";\n}}\n'
    )


def _locations(upstream: Upstream, *, brotli: bool) -> str:
    if upstream.mode == "proxy":
        return ""
    trees = _TREES.substitute(brotli="brotli_static on;" if brotli else _NO_BROTLI)
    public = _public_location(upstream) if upstream.has_public else ""
    others = _guarded_locations if upstream.mode == "authorize" else _accel_locations
    return trees + public + others(upstream)


def _public_location(upstream: Upstream) -> str:
    """Paths with a pin need no permission."""
    files = _PINNED_REMARK + "\n".join(
        _FILES.substitute(
            first=_first(upstream, 12),
            pattern=f"{upstream.public_pinned_pattern}"
            f"(?<plugin_file>(?<plugin_slug>{PLUGIN})/{PIN}{path_pattern(types)})",
            question="",
            file=_sent_file(upstream, types, "$plugin_file"),
            statuses="403 404 405 421",
            fields=_fields(upstream, types, f'"{upstream.public.pinned}"', always_pinned=True),
        )
        for types in file_types(upstream)
    )
    if upstream.mode == "authorize":
        pattern = f"{upstream.api_pattern}/public/plugins/{PLUGIN}(?!/@)"
        files += "\n" + _guarded_files(upstream, pattern, "$plugin_public")
    return _prefix(upstream, "/public/plugins/", files)


def _guarded_locations(upstream: Upstream) -> str:
    """Locations whose files need a permission of the gateway, and how nginx asks for it."""
    # `?+` never backtracks: a segment that looks like a pin is never read as a folder.
    api, pin = upstream.api_pattern, r"(?:/(?<plugin_pin>@[^/]+))?+"
    # The gateway answers {plugin}/modules/{module} and by-slug/{slug} with JSON, not with files.
    files = r"(?!by-slug/[^/]+$)" + PLUGIN + r"(?!/modules/[^/]+$)"
    own = _guarded_files(upstream, f"{api}/plugins/{files}{pin}", "$plugin_private")
    locations = _prefix(upstream, "/plugins/", own)
    if upstream.has_signed:
        pattern = rf"{api}/signed/[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+/plugins/{PLUGIN}{pin}"
        signed = _guarded_files(upstream, pattern, "$plugin_public")
        locations += _prefix(upstream, "/signed/", signed)
    return locations + _PERMISSION.substitute(
        identity_header=upstream.identity_header,
        user="$plugin_named_user" if upstream.proxy_identifies else '""',
        user_in_key="$plugin_named_user " if upstream.proxy_identifies else "",
    )


def _accel_locations(upstream: Upstream) -> str:
    """The folders that hold the files that the gateway names."""
    # nginx 1.22 reads the first of several Vary; the last one of the gateway is Origin.
    vary = '"$upstream_http_vary, Origin"' if upstream.origins else "$upstream_http_vary"
    fields = f"add_header Vary {vary};\n" + (_CORS_FIELDS if upstream.origins else "")
    if upstream.dictionaries:
        fields += "add_header Use-As-Dictionary $upstream_http_use_as_dictionary;\n"
    return _ACCEL.substitute(
        folders="".join(
            _ACCEL_FOLDER.substitute(
                prefix=upstream.accel_prefix,
                plugins=upstream.plugins,
                name=name,
                fields=textwrap.indent(fields, " " * 8),
            )
            for name in ("shared", "cache/encoded")
        )
    )


def _guarded_files(upstream: Upstream, pattern: str, cache_control: str) -> str:
    return "\n".join(
        _FILES.substitute(
            first=_first(upstream, 12),
            pattern=f"(?<plugin_question>{pattern})(?<plugin_file>{path_pattern(types)})",
            question=_QUESTION,
            file=_sent_file(upstream, types, "$plugin_tree$plugin_file"),
            statuses="401 403 404 405 421 500",
            fields=_fields(upstream, types, cache_control, always_pinned=False),
        )
        for types in file_types(upstream)
    )


def _sent_file(upstream: Upstream, types: FileTypes, path: str) -> str:
    difference = "$plugin_difference" if types.dictionaries else ""
    return f"{upstream.pinned}/{path}{difference}"


def _fields(
    upstream: Upstream, types: FileTypes, cache_control: str, *, always_pinned: bool
) -> str:
    vary = ", ".join(filter(None, [types.vary, "Origin" if upstream.origins else ""]))
    sent = _SENT_FIELDS.substitute(
        cache_control=cache_control,
        policy=_POLICY_FIELD.substitute(policy=types.policy) if types.policy else "",
        vary=f'add_header Vary "{vary}";\n' if vary else "",
        cors=_CORS_FIELDS if upstream.origins else "",
        dictionaries=dictionary_fields(types, always_pinned=always_pinned),
    )
    return textwrap.indent(sent, " " * 12)
