"""The parts of nginx's configuration that concern one origin and TLS."""

import textwrap

from gateway.proxies import NEVER_FROM_CLIENTS, Certificate, Text, Upstream
from gateway.proxies.one_origin import DOTS, PREFLIGHT, WEBSOCKET_KEY, gateway_routes

_MAPS = Text("""
upstream application {
    server %{application};
    keepalive 16;
    keepalive_timeout 4s;           # uvicorn closes idle connections after 5 s
}

# Who answers: the gateway ("gateway"), or the application (""). The gateway also gets paths with
# dot segments, and refuses them.
map $request_uri $plugin_dots {
    default "";
    "~*%{dots}" "dots ";
}
%{preflight}map "$plugin_dots%{by_preflight}$request_method $uri" $plugin_answerer {
    default "";
    "~^dots " gateway;
%{routes}
}

# Only a handshake of a websocket (RFC 6455) without a body may upgrade a connection. A server
# could read the body of another request with Upgrade as the next request.
map "$request_method $server_protocol $http_content_length$http_transfer_encoding" $plugin_simple {
    default "";
    "GET HTTP/1.1 " "simple ";
}
map "$plugin_simple$http_upgrade $http_sec_websocket_key $http_connection" $application_upgrade {
    default "";
    "~*^simple websocket %{key} (?:[a-z-]+ *, *)*upgrade(?: *, *[a-z-]+)*$" websocket;
}
map $application_upgrade $application_connection {
    default "";
    websocket upgrade;
}
""")

_PREFLIGHT_MAP = Text("""\
# A preflight goes to whoever will answer the request.
map "$request_method $http_access_control_request_method" $plugin_preflight {
    default "";
    "~%{preflight}" "$http_access_control_request_method by ";
}
""")

_LOCATION = Text("""
    # The application itself bounds the bodies of requests. Neither they nor its answers are
    # written to the disk on their way.
    client_max_body_size 0;
    proxy_request_buffering off;
    location @application {
        proxy_pass http://application;
        proxy_set_header Host $http_host;
        proxy_set_header X-Real-IP $remote_addr;
        proxy_set_header X-Forwarded-For $remote_addr;
        proxy_set_header X-Forwarded-Proto $scheme;
        proxy_set_header X-Forwarded-Host $http_host;
        proxy_set_header X-Request-ID $request_id;
        proxy_set_header %{identity_header} %{user};
%{removed}        proxy_set_header Upgrade $application_upgrade;
        proxy_set_header Connection $application_connection;
        proxy_ignore_headers X-Accel-Redirect;
        proxy_buffering off;            # event streams arrive at once
        proxy_read_timeout 1h;          # websockets and event streams may be silent
        proxy_send_timeout 1h;
    }
""")

_APPLICATION_FIRST = """\
error_page 420 = @application;
if ($plugin_answerer = "") {
    return 420;
}
"""

_BARE = Text("""
    # nginx would redirect to the location with a slash.
    location = %{path} {
%{first}        proxy_pass http://plugin_gateway;
    }
""")

_TLS = Text("""\
    ssl_certificate "%{certificate}";
    ssl_certificate_key "%{key}";
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_session_cache shared:plugin_tls:10m;
    ssl_session_timeout 1d;
    ssl_session_tickets off;
""")

_REDIRECT = Text("""
server {
    listen 80;
    server_name %{server_name};
    server_tokens off;
    access_log off;
    return 301 https://%{host}$request_uri;
}
""")


def application_maps(upstream: Upstream) -> str:
    routes = [f'    "~{route.pattern}" gateway;' for route in gateway_routes(upstream)]
    has_preflights = bool(upstream.origins)
    return _MAPS.substitute(
        application=upstream.application,
        dots=DOTS,
        preflight=_PREFLIGHT_MAP.substitute(preflight=PREFLIGHT) if has_preflights else "",
        by_preflight="$plugin_preflight" if has_preflights else "",
        routes="\n".join(routes),
        key=WEBSOCKET_KEY,
    )


def application_location(upstream: Upstream, user: str) -> str:
    """`user`: the value of the identity header."""
    removed = [name for name in NEVER_FROM_CLIENTS if name != "Upgrade"]
    return _LOCATION.substitute(
        identity_header=upstream.identity_header,
        user=user,
        removed="".join(f'        proxy_set_header {name} "";\n' for name in removed),
    )


def application_first(indent: int) -> str:
    """Begins each location of the gateway: sends the application's requests to the application."""
    return textwrap.indent(_APPLICATION_FIRST, " " * indent)


def bare_location(path: str, first: str) -> str:
    """For the path of a location of the gateway without its last slash."""
    return _BARE.substitute(path=path, first=first)


def tls_lines(tls: Certificate) -> str:
    return _TLS.substitute(certificate=tls.chain, key=tls.key)


def redirect(server_name: str) -> str:
    """A server that sends clients of port 80 to HTTPS."""
    host = "$host" if server_name == "_" or "*" in server_name else server_name
    return _REDIRECT.substitute(server_name=server_name, host=host)
