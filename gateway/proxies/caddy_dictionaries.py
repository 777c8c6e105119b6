"""The parts of Caddy's configuration that concern compression dictionaries.

Caddy's regular expressions are RE2, which looks neither ahead nor back. So the shapes of hashes are
not those of http/dictionaries.py; tests compare what both make of many names.
"""

import re
import textwrap
from collections.abc import Sequence

from gateway.http.dictionaries import DCZ
from gateway.proxies import Text, Upstream
from gateway.proxies.dictionaries import (
    DICTIONARY,
    FOLDER,
    LOCAL_HOST,
    MAX_FOLDERS,
    NAMED,
    WEIGHTED,
)

_MAPS = Text("""
    # A browser that holds an older file of a plugin names it in Available-Dictionary, by its
    # SHA-256, and can read the new file as the difference from it (RFC 9842). Caddy sends a
    # difference only if the client names dcz, over HTTPS or from this machine, and to a page that
    # may read the answer. If no difference is kept, the gateway answers, and makes one.
    map "{scheme} {host}" {plugin_secure} {
        "~^https " secure
        "~(?i)^http %{local}$" secure
        default %{otherwise}
    }
    map "{header.Sec-Fetch-Site}|{header.Origin}" {plugin_readable} {
        "~^(?:same-origin)?[|]" readable
%{origins}        default no
    }
    map {header.Accept-Encoding} {plugin_named} {
        "~%{weighted}" no
        "~%{named}" named
        default no
    }
    map "{plugin_secure} {plugin_readable} {plugin_named}" {plugin_difference} {
        "secure readable named" yes
        default no
    }
    @difference {
        vars {plugin_difference} yes
        vars_regexp dictionary {http.request.header.Available-Dictionary} "^:(%{dictionary}):$"
    }
""")

_SENT = Text("""\
        handle @difference {
            @%{name}_difference file {
                root "%{pinned}"
                try_files /%{file}%{difference}
            }
            handle @%{name}_difference {
                root * "%{pinned}"
                rewrite * /%{file}%{difference}
                header Content-Encoding %{coding}
%{sent}            }
            handle {
                import gateway
            }
        }
""")

# Only a 200 names a dictionary, and Caddy cannot see here what it will answer.
_USED = Text("""\
# A pinned file is a dictionary for the same file of other versions: Use-As-Dictionary has a pattern
# of their URLs, relative to its own. A hash in the name of the file is a star in the pattern.
(plugin_dictionary) {
    map {args.1} {plugin_slug} {
        "~^([^/]+)/" "${1}"
    }
    map {args.0} {plugin_up} {
%{folders}
    }
    map {args.0} {plugin_stem} {
        "~^/((?:.*/)?(?:[^/]*?[^/0-9A-Za-z])?)(?:%{hexadecimal})([^/0-9A-Za-z][^/]*)?$" "${1}*${2}"
        "~^/(.*-)(?:%{mixed})([.][0-9A-Za-z]+(?:[.]map)?)$" "${1}*${2}"
        "~^/(.*)$" "${1}"
    }
    @dictionary {
        path %{suffixes}
        not header If-None-Match *
        not header If-Modified-Since *
    }
    header @dictionary Use-As-Dictionary `match="{plugin_up}{plugin_slug}/../\\{@*/}?{plugin_stem}"`
}

""")

_HEXADECIMAL = "|".join(
    [f"[a-f]{{{n}}}[0-9][0-9a-f]{{{7 - n},}}" for n in range(8)] + ["[a-f]{8,}[0-9][0-9a-f]*"]
)
"""Eight hexadecimal digits or more, of which one is a digit."""
_MIXED = "|".join(f"[a-z-]{{{n}}}[A-Z0-9_][0-9A-Za-z_-]{{{7 - n}}}" for n in range(8))
"""Eight letters, of which one is a capital, a digit or an underscore."""


def dictionary_maps(upstream: Upstream) -> str:
    """Makes the matcher `@difference`: the client can read one, and may."""
    return _MAPS.substitute(
        local=LOCAL_HOST,
        otherwise="secure" if upstream.https_alone else "no",
        origins="".join(
            f'        "~^[^|]*[|]{re.escape(origin)}$" readable\n' for origin in upstream.origins
        ),
        weighted=WEIGHTED,
        named=NAMED.replace("(?<", "(?P<"),
        dictionary=DICTIONARY,
    )


def sent_difference(name: str, pinned: str, file: str, sent: str) -> str:
    """The handler of the requests that `@difference` matches. `sent`: what sends a file."""
    return _SENT.substitute(
        name=name,
        pinned=pinned,
        file=file,
        difference=f"{FOLDER}/{{http.regexp.dictionary.1}}",
        coding=DCZ,
        sent=textwrap.indent(sent, " " * 4),
    )


def dictionary_snippet(suffixes: Sequence[str]) -> str:
    """A snippet whose arguments are the path of a file in its tree, and the tree."""
    return _USED.substitute(
        folders="\n".join(
            f'        "~^(?:/[^/]+){{{number}}}$" "{"../" * number}"'
            for number in range(1, MAX_FOLDERS + 2)
        ),
        hexadecimal=_HEXADECIMAL,
        mixed=_MIXED,
        suffixes=" ".join(f"*.{suffix}" for suffix in suffixes),
    )
