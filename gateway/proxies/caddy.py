"""Caddy's configuration, for each mode. Tests run a real Caddy (tests/proxies).

The rules of nginx.py hold: Caddy itself answers only plain paths, matched as they were sent, and
sends only files of the pinned trees.
"""

from collections.abc import Sequence

from gateway.http.cache_policy import Lifetimes
from gateway.http.cors import EXPOSED
from gateway.proxies import NEVER_FROM_CLIENTS, PLUGIN, Entrance, Text, Upstream
from gateway.proxies.caddy_dictionaries import (
    dictionary_maps,
    dictionary_snippet,
    sent_difference,
)
from gateway.proxies.caddy_origin import answerer, others
from gateway.proxies.dictionaries import MAX_FOLDERS, file_types

_SITE = Text("""\
# Caddy in front of the plugin gateway, mode "%{mode}". `gateway proxy-config caddy` printed it
# for the gateway's settings. Print it again when they change.
# `caddy validate --adapter caddyfile --config FILE` checks it.

(gateway) {
    reverse_proxy %{upstream} {         # write the addresses of all nodes here
        # If a node refuses a connection, Caddy asks the next one, or the same one again, for 5 s.
        # It repeats a request that a node may have received only if it is a GET or HEAD.
        lb_policy round_robin
        lb_try_duration 5s
        lb_try_interval 50ms
        lb_retry_match {
            method GET HEAD
        }
        # No request waits for a node that is switched off.
        health_uri /-/live
        health_interval 1s
        health_timeout 1s
        # Caddy can repeat a body only if it keeps it. Without this, a change that meets a node in
        # the second in which it stops is answered with 502. (Caddy 2.6.2: buffer_requests)
        # request_buffers 64KB
        transport http {
            dial_timeout 1s
            keepalive 4s                    # the gateway closes idle connections after 5 s
            keepalive_idle_conns_per_host 32
            compression off
        }
        header_down -X-Plugin-Root
        header_down -X-Plugin-Tree
%{accel}    }
}

%{sent}# If you write a domain name without http:// here, Caddy serves HTTPS.
%{address} {
%{bind}%{tls}    # The id names the request in the gateway's log, whatever id the client gave it.
    request_header X-Request-ID {http.request.uuid}
    # No client may name a user, a file or an address: their fields are removed.
    request_header -%{identity_header}
%{removed}%{identify}%{answerer}
    # Caddy must refuse these: the gateway answers them for every client on this machine.
    # --metrics-allow opens the metrics to some clients, by the addresses of their connections.
%{metrics}    @closed path /-/metrics /-/authorize
    handle @closed {
        respond 404
    }
%{files}
%{others}}
""")

_IDENTIFY = Text("""\
    # identity.chain has "proxy": Caddy tells the gateway who the user is. Activate the next line,
    # with the placeholder that your authentication sets.
    # request_header %{identity_header} {http.auth.user.id}
""")

_OPEN_TO_SCRAPERS = Text("""\
    @scrapers {
        path /-/metrics
        remote_ip %{networks}
    }
    handle @scrapers {
        import gateway
    }
""")

_GATEWAY_ALONE = """\
    handle {
        import gateway
    }
"""

# `_kept` is a set of its own because Caddy asks the matchers of one set in any order.
_HANDLER = Text("""\
    @%{name} {
        method GET HEAD
        not header Range *
        not header If-Match *
        not header If-Unmodified-Since *
%{unless}        vars_regexp %{name} {http.request.orig_uri} "^%{pattern}(?:\\?.*)?$"
    }
    handle @%{name} {
%{question}%{difference}        @%{name}_kept file {
            root "%{pinned}"
            try_files /%{file}
        }
        handle @%{name}_kept {
            root * "%{pinned}"
            rewrite * /%{file}
%{sent}        }
        handle {
            import gateway
        }
    }
""")

_SENDING = Text("""\
%{dictionary}            import plugin_file {http.regexp.%{name}.suffix} "%{cache_control}"
""")

_PINNED_REMARK = """
    # URLs with a pin: whoever knows the pin may have the file, so Caddy sends it without asking. It
    # sends files only from plugins/cache/pinned, where the gateway keeps copies of the files that
    # may be served. If a file is not there, the gateway answers, with 410 if the build was removed.
"""

_QUESTION = Text("""\
        forward_auth %{upstream} {
            uri /-/authorize
            lb_policy round_robin
            lb_try_duration 5s
            lb_try_interval 50ms
            transport http {
                dial_timeout 1s
            }
            header_up X-Original-URI {http.request.orig_uri}
%{anonymous}            copy_headers X-Plugin-Tree
        }
""")

# The gateway answers these with JSON, whatever their suffix.
_NOT_FILES = Text("""\
        not path %{api}/plugins/*/modules/* %{api}/plugins/by-slug/*
""")

# On these routes credentials do not count.
_ANONYMOUS = """\
            header_up -Authorization
"""

_PERMISSION_REMARK = """
    # Caddy remembers no permission: it asks the gateway for each file, and that costs the gateway
    # about as much as sending a small file. nginx remembers a permission for some seconds.
"""

_SENT = Text("""\
(plugin_file) {
    map {args.0} {plugin_type} {
%{types}
    }
    header {
        Content-Type {plugin_type}
        Cache-Control {args.1}
        X-Content-Type-Options nosniff
        # The file's time is derived from its content, for the ETag.
        -Last-Modified
    }
%{varying}%{policies}%{cors}    file_server {
        precompressed zstd br gzip
    }
}

""")

_VARYING = Text("""\
    @varying path %{suffixes}
    header @varying +Vary "%{fields}"
""")

# Documents of these types can contain scripts. With the policy a browser runs no script.
_POLICY = Text("""\
    @%{suffix} path *.%{suffix}
    header @%{suffix} Content-Security-Policy "%{policy}"
""")

_CORS = Text("""\
    header +Vary Origin
    @listed {
%{origins}
    }
    header @listed Access-Control-Allow-Origin {http.request.header.Origin}
    header @listed Access-Control-Allow-Credentials true
    header @listed Access-Control-Expose-Headers "%{exposed}"
""")

_ACCEL = Text("""\

        # The gateway names the file (X-Accel-Redirect), and Caddy sends it.
        @accel header X-Accel-Redirect *
        handle_response @accel {
            root * "%{plugins}"
            rewrite * {http.reverse_proxy.header.X-Accel-Redirect}
            uri strip_prefix %{accel_prefix}
            copy_response_headers {
                exclude X-Accel-Redirect Content-Length Date
            }
            header {
                ETag {http.reverse_proxy.header.Etag}
                defer
            }
            file_server
        }
""")

# No segment begins with a dot, and none has an escape: Caddy matches the path as it was sent.
_SEGMENT = "/[A-Za-z0-9_-][A-Za-z0-9_.~-]*"
_SEGMENTS = f"(?:{_SEGMENT}){{0,{MAX_FOLDERS}}}{_SEGMENT}"


def configuration(upstream: Upstream, entrance: Entrance) -> str:
    tls, host = entrance.tls, (entrance.listen or "").rpartition(":")[0]
    removed = [name for name in NEVER_FROM_CLIENTS if name != "Upgrade" or not upstream.application]
    has_dictionaries = upstream.dictionaries and upstream.mode != "proxy"
    identify = _IDENTIFY.substitute(identity_header=upstream.identity_header)
    accel = _ACCEL.substitute(plugins=upstream.plugins, accel_prefix=upstream.accel_prefix)
    return _SITE.substitute(
        mode=upstream.mode,
        address=_site_address(upstream, entrance),
        bind=f"    bind {host}\n" if host else "",
        tls=f'    tls "{tls.chain}" "{tls.key}"\n' if tls else "",
        identity_header=upstream.identity_header,
        removed="".join(f"    request_header -{name}\n" for name in removed),
        answerer=answerer(upstream) if upstream.application else "",
        others=others(upstream) if upstream.application else _GATEWAY_ALONE,
        metrics=_metrics(entrance.scrapers),
        identify=identify if upstream.proxy_identifies else "",
        files=(dictionary_maps(upstream) if has_dictionaries else "") + _files(upstream),
        sent=_sent(upstream),
        upstream=_address(upstream),
        accel=accel if upstream.mode == "accel" else "",
    )


def _metrics(scrapers: Sequence[str]) -> str:
    return _OPEN_TO_SCRAPERS.substitute(networks=" ".join(scrapers)) if scrapers else ""


def _site_address(upstream: Upstream, entrance: Entrance) -> str:
    """A name alone makes Caddy get a certificate by itself."""
    listen, name, tls = entrance.listen, entrance.server_name, entrance.tls
    if upstream.application and name and not listen and not tls:
        return name
    port = (listen or ("443" if tls else "80")).rpartition(":")[2]
    return f"{'https' if tls else 'http'}://{name or ''}:{port}"


def _files(upstream: Upstream) -> str:
    """Handlers for the files that Caddy sends: with a pin, or with a permission of the gateway."""
    if upstream.mode == "proxy":
        return ""
    path = rf"(?P<path>{_SEGMENTS}\.(?P<suffix>{'|'.join(upstream.suffixes)}))"
    pinned = ""
    if upstream.has_public:
        pattern = rf"{upstream.public_pinned_pattern}(?P<tree>{upstream.tree_pattern}){path}"
        tree = "{http.regexp.pinned.tree}"
        pinned = _PINNED_REMARK + _handler(
            upstream, "pinned", pattern, tree, upstream.public.pinned, is_pinned=True
        )
    if upstream.mode == "accel":
        return pinned
    api = upstream.api_pattern
    files = _guarded_files(upstream, "own", f"{api}/plugins/", path, upstream.private)
    if upstream.has_public:
        prefix = f"{api}/public/plugins/"
        files += _guarded_files(upstream, "public", prefix, path, upstream.public)
    if upstream.has_signed:
        prefix = rf"{api}/signed/[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+/plugins/"
        files += _guarded_files(upstream, "signed", prefix, path, upstream.public)
    return pinned + _PERMISSION_REMARK + files


def _guarded_files(
    upstream: Upstream, route: str, prefix: str, path: str, lifetimes: Lifetimes
) -> str:
    """Handlers for the files of one route that need a permission, with a pin and without."""
    question = _QUESTION.substitute(
        upstream=_address(upstream), anonymous="" if route == "own" else _ANONYMOUS
    )
    return "".join(
        "\n"
        + _handler(
            upstream,
            name,
            f"{prefix}{plugin}{path}",
            "{http.request.header.X-Plugin-Tree}",
            cache_control,
            is_pinned=is_pinned,
            unless=_NOT_FILES.substitute(api=upstream.api) if name == "own" else "",
            question=question,
        )
        for name, plugin, cache_control, is_pinned in (
            (f"{route}_pinned", PLUGIN + r"/@[A-Za-z0-9_.+~-]+", lifetimes.pinned, True),
            (route, PLUGIN, lifetimes.unpinned, False),
        )
    )


def _handler(
    upstream: Upstream,
    name: str,
    pattern: str,
    tree: str,
    cache_control: str,
    *,
    is_pinned: bool,
    unless: str = "",
    question: str = "",
) -> str:
    """Sends the files of the URLs that the pattern describes. `tree`: that of a request."""
    file, has_dictionaries = f"{tree}{{http.regexp.{name}.path}}", upstream.dictionaries
    sent = _SENDING.substitute(
        dictionary=f"            import plugin_dictionary {{http.regexp.{name}.path}} {tree}\n"
        if is_pinned and has_dictionaries
        else "",
        name=name,
        cache_control=cache_control,
    )
    return _HANDLER.substitute(
        name=name,
        pattern=pattern,
        unless=unless,
        question=question,
        difference=sent_difference(name, upstream.pinned, file, sent) if has_dictionaries else "",
        pinned=upstream.pinned,
        file=file,
        sent=sent,
    )


def _address(upstream: Upstream) -> str:
    return f"unix/{upstream.address}" if upstream.is_socket else upstream.address


def _sent(upstream: Upstream) -> str:
    if upstream.mode == "proxy":
        return ""
    cors = _CORS.substitute(
        origins="\n".join(f"        header Origin {origin}" for origin in upstream.origins),
        exposed=EXPOSED.decode(),
    )
    types = "\n".join(
        f'        {suffix} "{kind}"'
        for kind, suffixes in upstream.content_types.items()
        for suffix in suffixes
    )
    policies = "".join(
        _POLICY.substitute(suffix=suffix, policy=policy)
        for suffix, policy in upstream.policies.items()
    )
    kinds = [kind for kind in file_types(upstream) if kind.vary]
    varying = [suffix for kind in kinds for suffix in kind.suffixes]
    sent = _SENT.substitute(
        types=types,
        varying=_VARYING.substitute(
            suffixes=" ".join(f"*.{suffix}" for suffix in varying), fields=kinds[0].vary
        )
        if kinds
        else "",
        policies=policies,
        cors=cors if upstream.origins else "",
    )
    return sent + (dictionary_snippet(varying) if varying and upstream.dictionaries else "")
