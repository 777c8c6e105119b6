"""The parts of Caddy's configuration that concern one origin."""

from gateway.proxies import Text, Upstream
from gateway.proxies.one_origin import DOTS, PREFLIGHT, WEBSOCKET_KEY, gateway_routes

_ANSWERER = Text("""
    # Who answers: the gateway, or the application. The gateway also gets paths with dot segments,
    # and refuses them.
    map {http.request.orig_uri} {plugin_dots} {
        "~(?i)%{dots}" "dots "
        default ""
    }
%{preflight}    map "{plugin_dots}%{by_preflight}{method} {path}" {plugin_answerer} {
        "~^dots " gateway
%{routes}
        default application
    }

    # Only a handshake of a websocket (RFC 6455) may upgrade a connection, and only to the
    # application. A server could read the body of another request with Upgrade as the next request.
    @websocket {
%{handshake}    }
    @no_websocket not {
%{handshake}    }
    request_header @no_websocket -Upgrade
    request_header @websocket Upgrade websocket
""")

_HANDSHAKE = Text("""\
        vars {plugin_answerer} application
        method GET
        header_regexp Connection "(?i)(?:^|[ ,])upgrade(?:$|[ ,])"
        header_regexp Upgrade "(?i)^websocket$"
        header_regexp Sec-WebSocket-Key "^%{key}$"
        not header Content-Length *
""")

_PREFLIGHT = Text("""\
    # A preflight goes to whoever will answer the request.
    map "{method} {header.Access-Control-Request-Method}" {plugin_preflight} {
        "~%{preflight}" "${1} by "
        default ""
    }
""")

# A matcher of Caddy does not see that a body is chunked. So the connection of a handshake is used
# once, and a body ends it: nothing that the client sent becomes a request of its own.
_OTHERS = Text("""\
    @gateway vars {plugin_answerer} gateway
    handle @gateway {
        import gateway
    }

    # A body ends the connection of a handshake, and no other request uses that connection.
    handle @websocket {
        request_body {
            max_size 1
        }
        reverse_proxy %{application} {
            transport http {
                keepalive off
                compression off
            }
        }
    }
    handle {
        reverse_proxy %{application} {
            flush_interval 50ms     # event streams arrive at once
            transport http {
                keepalive 4s        # uvicorn closes idle connections after 5 s
                compression off
            }
        }
    }
""")


def answerer(upstream: Upstream) -> str:
    """Sets `{plugin_answerer}`, and removes Upgrade from all but handshakes of websockets."""
    has_preflights = bool(upstream.origins)
    return _ANSWERER.substitute(
        dots=DOTS,
        preflight=_PREFLIGHT.substitute(preflight=PREFLIGHT) if has_preflights else "",
        by_preflight="{plugin_preflight}" if has_preflights else "",
        routes="\n".join(
            f'        "~{route.pattern}" gateway' for route in gateway_routes(upstream)
        ),
        handshake=_HANDSHAKE.substitute(key=WEBSOCKET_KEY),
    )


def others(upstream: Upstream) -> str:
    """Handlers of all requests for which Caddy has no file."""
    return _OTHERS.substitute(application=upstream.application)
