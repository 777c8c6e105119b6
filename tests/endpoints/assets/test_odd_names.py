"""Names of files that only Windows refuses."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from gateway.disk.builds import look_at
from tests.support.server import Server, serving
from tests.support.site import ADA, Site, bearer
from tests.support.urls import SIGNED_ENVIRONMENT, WAYS, own, pin_of

pytestmark = pytest.mark.slow

ODD_NAMES = [
    "a?b.js",
    "a:b.js",
    "a*b.js",
    'a"b.js',
    "a<b>.js",
    "a|b.js",
    "a?b/c:d.js",
    "a%3Fb.js",
    "a b#c.js",
]


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Site]]:
    site = Site(tmp_path_factory.mktemp("odd"))
    files = {f"dist/{name}": f"/* {name} */" for name in [*ODD_NAMES, "a", "remoteEntry.js"]}
    site.publish("Odd", "1.0.0", files)
    site.give(ADA, "Odd", "1.0.0")
    with serving({**site.environment, **SIGNED_ENVIRONMENT}) as server:
        yield server, site


@pytest.mark.parametrize("name", ODD_NAMES)
@pytest.mark.parametrize("way", WAYS)
def test_a_file_whose_name_only_windows_refuses_is_served(
    odd: tuple[Server, Site], way: str, name: str
) -> None:
    server, _ = odd
    pin = pin_of(server, ADA, "Odd")
    for prefix in ("", f"{pin}/"):
        for safe in ("/", "/:*"):  # a browser leaves some of them as they are
            path = f"{prefix}dist/" + quote(name, safe=safe)
            question = WAYS[way](ADA, "Odd", path)
            answer = server.get(question.url, question.headers)
            assert (answer.status, answer.body) == (200, f"/* {name} */".encode()), path


@pytest.mark.parametrize("encoded", ["%00", "%0a", "%85", "%C2%85", "%7f", "%5c", "%2f", "%2F"])
def test_other_odd_characters_are_refused(odd: tuple[Server, Site], encoded: str) -> None:
    server, _ = odd
    assert server.get(own("Odd", f"dist/a{encoded}b.js"), bearer(ADA)).status == 404


def test_a_file_whose_name_only_windows_refuses_counts_in_the_build(tmp_path: Path) -> None:
    site = Site(tmp_path / "site")
    before = look_at(site.publish("Odd", "1.0.0", {"dist/a.js": "a"}), None)
    after = look_at(site.publish("Odd", "1.0.0", {"dist/a?.js": "b"}), None)
    assert before is not None
    assert after is not None
    assert before.build != after.build
    assert set(after.digests) == {"dist/a.js", "dist/a?.js"}
