"""The parts of nginx's configuration that concern compression dictionaries.

nginx reads a map only when it needs the variable. So each map of a chain has the name of a
condition, and a request without a dictionary pays for the first map alone.
"""

from gateway.http.dictionaries import HASHES
from gateway.proxies import Text, Upstream
from gateway.proxies.dictionaries import (
    DICTIONARY,
    FOLDER,
    LOCAL_HOST,
    MAX_FOLDERS,
    NAMED,
    PLAIN,
    WEIGHTED,
    FileTypes,
)

_MAPS = Text("""
# A browser that holds an older file of a plugin names it in Available-Dictionary, by its SHA-256,
# and can read the new file as the difference from it (RFC 9842). nginx sends a difference only if
# the client names dcz, over HTTPS or from this machine, and to a page that may read the answer. If
# no difference is kept, the gateway answers, and makes one. nginx before 1.23 sees only the first
# one of repeated fields.
map $http_available_dictionary $plugin_difference {
    default "";
    "" "";
    "~^:(?<plugin_dictionary>%{dictionary}):$" $plugin_if_%{first};
}
%{secure}map $http_sec_fetch_site $plugin_if_readable {
    default %{otherwise};
    "" $plugin_if_named;
    "~^same-origin$" $plugin_if_named;
}
%{listed}map $http_accept_encoding $plugin_if_named {
    default "";
    "~%{weighted}" "";
    "~%{named}" "%{folder}/$plugin_dictionary";
}

# A pinned file is a dictionary for the same file of other versions: Use-As-Dictionary has a pattern
# of their URLs, relative to its own. A hash in the name of the file is a star in the pattern.
map $plugin_folder $plugin_upwards {
    "" "../";
    dist/ "../../";
%{folders}
}
map $plugin_hash $plugin_rest {
    default "*$plugin_after_hash";
    "" "";
}
%{guarded}""")

_SECURE = Text("""\
map "$scheme $host" $plugin_if_secure {
    default "";
    "~^https " $plugin_if_readable;
    "~*^http %{local}$" $plugin_if_readable;
}
""")

# The pages of http.cors_origins may read what they ask for in mode cors, naming themselves.
_LISTED = """\
map $plugin_origin $plugin_if_listed {
    default $plugin_if_named;
    "" "";
}
"""

# With the slug, as in http/dictionaries.py, which says why.
_PATTERN = r"match=\"$plugin_upwards%{slug}/../{@*/}?$plugin_stem$plugin_rest\""

# An answer that must be asked for again is no dictionary.
_GUARDED_MAPS = Text("""\
map $plugin_tree $plugin_tree_slug {
    default "";
    "~^(?<plugin_slug>[^/]+)/" $plugin_slug;
}
map $plugin_pin $plugin_pattern {
    default "%{pattern}";
    "" "";
}
""")

_FIELDS = Text("""\
add_header Content-Encoding $plugin_coding;
add_header Use-As-Dictionary %{pattern};
""")


def dictionary_maps(upstream: Upstream) -> str:
    """The maps that the locations of files need."""
    return _MAPS.substitute(
        dictionary=DICTIONARY,
        first="readable" if upstream.https_alone else "secure",
        secure="" if upstream.https_alone else _SECURE.substitute(local=LOCAL_HOST),
        otherwise="$plugin_if_listed" if upstream.origins else '""',
        listed=_LISTED if upstream.origins else "",
        weighted=WEIGHTED,
        named=NAMED,
        folder=FOLDER,
        folders="\n".join(
            f'    "~^(?:[^/]+/){{{number}}}$" "{"../" * (number + 1)}";'
            for number in range(1, MAX_FOLDERS + 1)
        ),
        guarded=_GUARDED_MAPS.substitute(pattern=_pattern("$plugin_tree_slug"))
        if upstream.mode == "authorize"
        else "",
    )


def dictionary_fields(types: FileTypes, *, always_pinned: bool) -> str:
    if not types.dictionaries:
        return ""
    pattern = f'"{_pattern("$plugin_slug")}"' if always_pinned else "$plugin_pattern"
    return _FIELDS.substitute(pattern=pattern)


def _pattern(slug: str) -> str:
    return Text(_PATTERN).substitute(slug=slug)


def path_pattern(types: FileTypes) -> str:
    """A pattern for the path of a file in its tree, with what the maps need of it."""
    endings = "|".join(rf"\.{suffix}" for suffix in types.suffixes)
    folder = f"(?:{PLAIN}++/){{0,{MAX_FOLDERS}}}+"
    path = _hashed_path(folder) if types.dictionaries else f"{folder}{PLAIN}++"
    return f"/{path}(?<={endings})"


def _hashed_path(folder: str) -> str:
    """nginx's regular expressions are PCRE. No hash begins in a word or right behind one, so none
    is looked for there. Of several hashes in a name, the first one counts.
    """
    shape = f"(?:{'|'.join(HASHES)})"
    before = f"(?:(?!{shape})(?:[0-9A-Za-z]++{PLAIN}?+|{PLAIN}))*+"
    hashed = f"(?<plugin_hash>{shape})(?<plugin_after_hash>{PLAIN}*)"
    return f"(?<plugin_stem>(?<plugin_folder>{folder}){before})(?:{hashed})?"
