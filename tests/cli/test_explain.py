"""`gateway explain --url`: what the server answers, and advice that helps when it is followed."""

import base64
import json
import re
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gateway.cli import main
from gateway.errors import RequestError
from gateway.serving.advice import CODES
from tests.support.accounts import publish
from tests.support.commands import line_of, run
from tests.support.server import Server, server_of, serving
from tests.support.site import ADA, BEN, CLEO, NOBODY, Site, bearer, populated, token, with_refusals
from tests.support.urls import (
    API,
    ENTRY,
    ENTRY_URL,
    MANIFEST,
    SIGNED_ENVIRONMENT,
    capability,
    own,
    pin_of,
    public,
    signed,
)

DORA = "e" * 32
"""Whose plugins are all refused."""
ENVIRONMENT = {**SIGNED_ENVIRONMENT, "GATEWAY__ACCESS__PUBLIC": "true"}
OF_APPLICATION = "; an application owns this database, and should make this change itself"
WITHOUT_A_ROUTE = "not_found"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return with_refusals(populated(tmp_path_factory.mktemp("site")), DORA)


server = server_of(ENVIRONMENT)


def explained(site: Site, *arguments: str) -> Result:
    result = run({**site.environment, **ENVIRONMENT}, "explain", *arguments)
    assert result.exit_code in (0, 1), result.output
    return result


def answer_of(result: Result) -> str:
    """Status and code, as the line of the answer begins."""
    (line,) = re.findall(r"(?m)^● (.*)$", result.output)
    return str(line.partition(":")[0])


URLS: dict[str, tuple[str, str | None]] = {
    "own": (ENTRY_URL, ADA),
    "own, by id": (own(f"{ADA}_Review"), ADA),
    "own, with a query": (f"{ENTRY_URL}?v=1", ADA),
    "own, escaped": (own("Review", "dist/%72emoteEntry.js"), ADA),
    "another's id": (own(f"{BEN}_Review"), ADA),
    "not installed": (ENTRY_URL, NOBODY),
    "no row": (own("Ghost"), DORA),
    "not in the JSON": (own("Unlisted"), DORA),
    "disabled": (own("Off"), DORA),
    "not published": (own("Unbuilt"), DORA),
    "a version that is no folder": (own("Climbing"), DORA),
    "no file": (own("Review", "dist/none.js"), ADA),
    "a type": (own("Review", "lifecycle_manager.py"), ADA),
    "an encoded separator": (own("Review", "dist%2fx.js"), ADA),
    "dot segments": (own("Review", "../x.js"), ADA),
    "a broken pin": (own("Review", "@1.0.0/dist/remoteEntry.js"), ADA),
    "a pin of no build": (own("Review", f"@1.0.0~{'0' * 16}/{ENTRY}"), ADA),
    "nobody": (ENTRY_URL, None),
    "public, by id": (public(f"{ADA}_Review"), None),
    "public, two versions": (public("Review"), None),
    "public, one version": (public("Eyes"), None),
    "public, unknown": (public("Nothing"), None),
    "public, disabled": (public(f"{DORA}_Off"), None),
    "public, not published": (public(f"{DORA}_Unbuilt"), None),
    "public, no file": (public(f"{ADA}_Review", "dist/none.js"), None),
    "signed": (signed(capability(ADA, "Review"), "Review"), None),
    "signed, expired": (signed(capability(ADA, "Review", now=time.time() - 9e3), "Review"), None),
    "signed, of another": (signed(capability(ADA, "Review"), "Eyes"), None),
    "signed, not had": (signed(capability(NOBODY, "Review"), "Review"), None),
    "signed, forged": (signed("eyJ4IjoxfQ.bm9uc2Vuc2U", "Review"), None),
    "no route": ("/api/v2/plugins/Review/dist/remoteEntry.js", ADA),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", URLS)
def test_it_says_what_the_server_answers(site: Site, server: Server, name: str) -> None:
    url, user = URLS[name]
    answer = server.get(url, bearer(user) if user else {})
    expected = str(answer.status) if answer.status == 200 else f"{answer.status} {answer.code}"
    given = ("--token", token(user)) if user else ()
    by_token = explained(site, "--url", url, *given)
    assert answer_of(by_token) == expected
    assert by_token.exit_code == (answer.status != 200)
    if user:
        assert answer_of(explained(site, "--url", url, "--user", user)) == expected


@pytest.mark.slow
def test_pins_are_decided_as_by_the_server(site: Site, server: Server) -> None:
    pin = pin_of(server, BEN, "Review")
    for url in (own("Review", f"{pin}/{ENTRY}"), public("Review", f"{pin}/{ENTRY}")):
        result = explained(site, "--url", url, "--user", BEN)
        assert "200: dist/remoteEntry.js of Review 1.0.1" in result.output
        missing = url.replace(ENTRY, "dist/none.js")
        assert answer_of(explained(site, "--url", missing, "--user", BEN)) == "404 asset_not_found"
    lost = site.version_folder("Review", "1.0.1") / "dist" / "1.js"
    url = own("Review", f"{pin}/dist/1.js")
    content = lost.read_bytes()
    lost.write_bytes(content[::-1])
    try:
        assert answer_of(explained(site, "--url", url, "--user", BEN)) == "410 version_retired"
    finally:
        lost.write_bytes(content)


def test_a_whole_url_is_its_path(site: Site) -> None:
    for url in (f"https://app.example.org{ENTRY_URL}#top", f"http://[::1]:8000{ENTRY_URL}?a=b"):
        result = explained(site, "--url", url, "--user", ADA)
        assert "200: dist/remoteEntry.js of Review 1.0.0" in result.output
        assert f"caller     {ADA}  given" in result.output


def test_each_step_of_a_pasted_name_is_shown_once(site: Site) -> None:
    site.publish("Review", "1.0.0", {"dist/ä b.js": "x"})
    result = explained(site, "--url", own("Review", "dist/ä b.js"), "--user", ADA)
    names = re.findall(r"(?m)^  (\S[^ ]*(?: \S+)?)  ", result.output)
    assert names == ["caller", "file type", "installed", "row", "path", "file"]


# Credentials


def test_a_user_is_explained_without_a_key_of_credentials(site: Site) -> None:
    settings = {**site.environment, "GATEWAY__IDENTITY__JWT__SECRET": ""}
    assert run(settings, "explain", "--url", ENTRY_URL, "--user", ADA).exit_code == 0
    assert "identity.jwt.secret" in line_of(run(settings, "explain", "--url", ENTRY_URL))


def test_a_token_is_read_from_standard_input_and_never_printed(site: Site) -> None:
    environment: dict[str, str | None] = {**site.environment, **ENVIRONMENT}
    good, foreign = token(ADA), token(ADA, "a-secret-that-another-application-has")
    for secret in (good, foreign, "x.y.z", "é\r"):
        for as_json in ((), ("--json",)):
            typed = ["explain", "--url", ENTRY_URL, "--token", "-", *as_json]
            result = CliRunner().invoke(main, typed, env=environment, input=f"{secret}\n")
            assert result.exit_code == (secret != good), result.output
            for part in secret.strip().split("."):
                assert len(part) < 2 or part not in result.output
    result = explained(site, "--url", ENTRY_URL, "--token", token(ADA))
    assert (result.exit_code, token(ADA) in result.output) == (0, False)


def test_what_a_token_says_means_nothing_to_a_terminal(site: Site) -> None:
    head = base64.urlsafe_b64encode(json.dumps({"alg": "\x1b[31m\x9b"}).encode()).rstrip(b"=")
    result = explained(site, "--url", ENTRY_URL, "--token", f"{head.decode()}.e30.e30")
    assert answer_of(result) == "401 invalid_token"
    assert not set("\x1b\x9b") & set(result.output)


def test_a_signed_url_is_not_printed(site: Site) -> None:
    for credential in (capability(ADA, "Review"), capability(NOBODY, "Review"), "forged.forged"):
        for as_json in ((), ("--json",)):
            result = explained(site, "--url", signed(credential, "Review"), *as_json)
            assert not any(part in result.output for part in credential.split("."))


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--url", ENTRY_URL, "Review", ENTRY),
        ("--url", ENTRY_URL, "--user", ADA, "--token", "x"),
        ("--user", ADA, "Review", ENTRY, "--token", "x"),
        ("Review", ENTRY),
        ("--url", "no/slash"),
        ("--url", ""),
        ("--url", "http://[::1/x"),
        ("--url", MANIFEST, "--user", ADA),
        ("--url", f"{API}/plugins/Review/info"),
        ("--url", "/-/cache"),
    ],
    ids=" ".join,
)
def test_what_names_no_file_is_exit_code_2(site: Site, arguments: tuple[str, ...]) -> None:
    result = run({**site.environment, **ENVIRONMENT}, "explain", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Error: " in result.stderr


def test_another_route_is_named(site: Site) -> None:
    result = run({**site.environment, **ENVIRONMENT}, "explain", "--url", f"{API}/plugins/x/info")
    assert "{plugin}/info is another route" in line_of(result)


# Advice


def test_there_is_advice_for_every_code_by_which_a_file_can_be_refused() -> None:
    of_no_get = {
        "bad_request", "invalid_request", "admin_required", "origin_not_allowed",
        "method_not_allowed", "request_timeout", "already_installed", "no_earlier_version",
            "already_examining",
        "version_unusable", "precondition_failed", "content_too_large", "range_not_satisfiable",
        "too_many_changes", "too_many_questions", "head_too_large", "transfer_coding_unknown",
            "too_many_streams", "too_many_connections",
        "dev_server_failed",  # a file of `gateway dev --from`: the answer names the server
    }  # fmt: skip
    assert {error.code for error in codes(RequestError)} - of_no_get == CODES


def codes(base: type[RequestError]) -> set[type[RequestError]]:
    below = {error for child in base.__subclasses__() for error in codes(child)}
    return below | ({base} if hasattr(base, "code") else set())


def advice(site: Site, *arguments: str, **settings: str) -> str:
    """The last line."""
    environment = {**site.environment, **ENVIRONMENT, **settings}
    return run(environment, "explain", *arguments).output.rstrip("\n").rpartition("\n")[2].strip()


def test_advice_that_is_followed_helps(empty_site: Site) -> None:
    site = empty_site
    for version in ("1.0.0", "1.0.1"):
        publish(site, version)
    site.write_installations(ADA, {})
    site.add_row(ADA, "Off", "1.0.0", enabled=0)
    site.install(BEN, "Review", "Lost")
    site.add_row(BEN, "Lost", "1.0.0")
    publish(site, "2.0.0", slug="Lost")
    site.give(CLEO, "Review", "1.0.0", enabled=0)
    for user, slug, verbs in (
        (ADA, "Review", ["install"]),
        (BEN, "Review", ["install"]),
        (BEN, "Lost", ["update"]),
        (CLEO, "Review", ["enable"]),
    ):
        forms = (("--url", own(slug)), (slug, ENTRY))
        said = [advice(site, "--user", user, *form) for form in forms]
        assert said[0] == said[1]
        (command,) = re.findall(rf"gateway ((\w+) {slug} --user {user})", said[0])
        assert command[1] in verbs
        assert run(site.environment, *command[0].split()).exit_code == 0
        assert explained(site, "--url", own(slug), "--user", user).exit_code == 0


def test_changes_are_left_to_the_application_that_owns_the_database(either_site: Site) -> None:
    site = either_site
    site.give(CLEO, "Off", "1.0.0", enabled=0)

    def said(plugin: str, user: str, path: str = ENTRY) -> str:
        return advice(site, "--user", user, plugin, path)

    for plugin, user in (("Off", CLEO), ("Review", NOBODY)):
        assert said(plugin, user).endswith(OF_APPLICATION)
    assert "application" not in said("Review", ADA, "dist/none.js"), "no change of a user helps"
    site.execute("DROP TABLE users")
    assert said("Off", CLEO) == f"Run: gateway enable Off --user {CLEO}"
    assert said("Review", NOBODY) == f"Run: gateway install Review --user {NOBODY}"


def test_advice_names_the_setting_only_if_it_would_help(site: Site) -> None:
    url = ("--url", own("Review"), "--user")
    deny = {"GATEWAY__ACCESS__MISSING_INSTALLATIONS": "deny"}
    setting = 'access.missing_installations = "allow"'
    site.add_row("f" * 32, "Review", "1.0.0")
    assert setting in advice(site, *url, "f" * 32, **deny)
    assert setting not in advice(site, "--url", own("Unlisted"), "--user", DORA, **deny)


def test_advice_on_what_strangers_see_is_about_its_reason(site: Site) -> None:
    assert f"gateway enable Off --user {DORA}" in advice(site, "--url", public(f"{DORA}_Off"))
    unbuilt = advice(site, "--url", public(f"{DORA}_Unbuilt"))
    assert "9.9.9 of Unbuilt with gateway publish" in unbuilt


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (public("Review"), "access.public"),
        (signed("a.b", "Review"), "identity.signed.secret"),
        ("/other/plugins/Review/x.js", "http.api_prefix"),
    ],
)
def test_advice_on_a_url_without_a_route_names_the_setting(site: Site, url: str, said: str) -> None:
    settings = {**site.environment, "GATEWAY__ACCESS__PUBLIC": "false"}
    result = run(settings, "explain", "--url", url)
    assert (result.exit_code, "404 not_found" in result.output) == (1, True)
    assert said in result.output


@pytest.mark.parametrize("plugin", ["x;reboot", "$(reboot)", "`x`", "a b", "a|b", "%C2%AD"])
def test_advice_holds_no_text_that_a_shell_or_a_terminal_understands(
    site: Site, plugin: str
) -> None:
    said = advice(site, "--url", own(plugin), "--user", ADA)
    assert said == f"Run: gateway install SLUG --user {ADA}{OF_APPLICATION}"
    for name in (plugin, "%1b[31m", "%0d%0a"):
        shown = explained(site, "--url", own(name), "--user", ADA).output
        assert all(character.isprintable() or character == "\n" for character in shown)


def test_json_has_the_steps_and_the_advice(site: Site) -> None:
    for arguments in (("--url", own("Off")), ("Off", ENTRY)):
        result = explained(site, "--user", DORA, *arguments, "--json")
        told = json.loads(result.stdout)
        assert (told["served"], result.exit_code) == (False, 1)
        assert told["answer"].startswith("404 plugin_disabled: ")
        assert told["advice"] == f"Run: gateway enable Off --user {DORA}{OF_APPLICATION}"
        assert [step["name"] for step in told["steps"]][-2:] == ["installed", "row"]
        assert "versions" in told["caches"]
    served = json.loads(explained(site, "--url", ENTRY_URL, "--user", ADA, "--json").stdout)
    assert (served["served"], served["advice"]) == (True, "")


@pytest.mark.slow
def test_explaining_writes_nothing(site: Site) -> None:
    def state() -> dict[str, float]:
        return {str(path): path.stat().st_mtime for path in site.plugins.rglob("*")}

    with serving(site.environment):
        pass
    before = state()
    explained(site, "--url", ENTRY_URL, "--user", ADA)
    assert state() == before
