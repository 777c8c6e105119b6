"""Settings: sources, precedence, and the one line that a mistake is answered with."""

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from gateway.errors import ConfigurationError
from gateway.settings import Settings, load_settings, setting_types

CONFIG_VARIABLE = "GATEWAY_CONFIG"
CONFIG = Path(__file__).parent.parent / "config.toml"


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No config.toml of the checkout, no variables of the machine."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("GATEWAY")]:
        monkeypatch.delenv(name)
    return tmp_path


def from_file(content: str, environ: Mapping[str, str] | None = None) -> Settings:
    path = Path("given.toml")
    path.write_text(content, encoding="utf-8")
    return load_settings(path, environ=environ or {})


def from_environment(**variables: str) -> Settings:
    return load_settings(environ={f"GATEWAY__{name}": text for name, text in variables.items()})


def refusal(content: str = "", **variables: str) -> str:
    """The message of the error that these sources end in."""
    environ = {f"GATEWAY__{name}": text for name, text in variables.items()}
    with pytest.raises(ConfigurationError) as caught:
        from_file(content, environ)
    message = str(caught.value)
    assert "\n" not in message
    return message


def value_of(settings: Settings, name: str) -> Any:
    value: Any = settings
    for key in name.split("."):
        value = getattr(value, key)
    return value


def uncommented(text: str) -> str:
    """config.toml as if every commented value were in force."""
    lines = text.splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("["))
    return "\n".join(re.sub(r"^#", "", line) for line in lines[first:])


# Defaults


def test_the_commented_values_of_config_toml_are_the_defaults() -> None:
    settings = from_file(uncommented(CONFIG.read_text(encoding="utf-8")))
    assert settings.model_dump() == Settings().model_dump()


def test_config_toml_shows_every_setting() -> None:
    shown = tomllib.loads(uncommented(CONFIG.read_text(encoding="utf-8")))

    def names(table: dict[str, Any], prefix: str = "") -> list[str]:
        return [
            name
            for key, value in table.items()
            for name in (
                names(value, f"{prefix}{key}.") if isinstance(value, dict) else [prefix + key]
            )
        ]

    assert sorted(names(shown)) == sorted(setting_types())


def test_config_toml_as_delivered_changes_nothing() -> None:
    assert load_settings(CONFIG, environ={}).model_dump() == Settings().model_dump()


def test_no_source_at_all_gives_the_defaults() -> None:
    assert load_settings(environ={}).model_dump() == Settings().model_dump()


def test_settings_are_frozen() -> None:
    settings = Settings()
    with pytest.raises(ValidationError, match="frozen"):
        settings.server.port = 1  # type: ignore[misc]
    with pytest.raises(ValidationError, match="frozen"):
        settings.server = settings.server  # type: ignore[misc]


def test_two_settings_objects_share_no_list() -> None:
    Settings().http.allowed_suffixes.append("exe")
    assert "exe" not in Settings().http.allowed_suffixes


# Unknown keys


@pytest.mark.parametrize(
    ("content", "key", "hint"),
    [
        ("[server]\nprot = 1", "server.prot", "did you mean server.port?"),
        ("[identity.jwt]\nsecrt = ''", "identity.jwt.secrt", "identity.jwt.secret?"),
        ("[cache.version]\nttl = 1.0", "cache.version", "cache.versions"),
        ("[http]\ncors_origin = []", "http.cors_origin", "http.cors_origins?"),
        ("port = 1", "port", ""),
        ("[zzz]\nq = 1", "zzz", ""),
    ],
)
def test_an_unknown_key_in_the_file_stops_with_a_hint(content: str, key: str, hint: str) -> None:
    message = refusal(content)
    assert f"given.toml: {key}: unknown setting" in message
    assert hint in message


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("SERVER__PROT", "did you mean server.port?"),
        ("IDENTITY__JWT__SECRT", "did you mean identity.jwt.secret?"),
        ("SERVER", ""),
        ("SERVER__PORT__X", ""),
        ("IDENTITY__JWT", ""),
        ("PORT", ""),
        ("", ""),
        ("SERVER_PORT", ""),
        ("SERVER__PORT__", ""),
    ],
)
def test_an_unknown_variable_stops_with_its_name(name: str, hint: str) -> None:
    message = refusal(**{name: "1"})
    assert f"GATEWAY__{name}: unknown setting" in message
    assert hint in message


def test_variables_of_other_programs_are_passed_over() -> None:
    environ = {"GATEWAY_LOGLEVEL": "x", "GATEWAY": "y", "MY_GATEWAY__SERVER__PORT": "z", "PATH": ""}
    assert load_settings(environ=environ).model_dump() == Settings().model_dump()


# Wrong types and values


@pytest.mark.parametrize(
    ("content", "key", "expectation"),
    [
        ("[server]\nport = '8000'", "server.port", "integer"),
        ("[server]\nport = true", "server.port", "integer"),
        ("[server]\nport = 80.0", "server.port", "integer"),
        ("[server]\nport = 65536", "server.port", "65535"),
        ("[server]\nport = -1", "server.port", "0"),
        ("[server]\nworkers = 0", "server.workers", "1"),
        ("[server]\nhost = 1", "server.host", "string"),
        ("[server]\nhost = ['a']", "server.host", "string"),
        ("[server]\ndrain_timeout = '5'", "server.drain_timeout", "number"),
        ("[server]\ndrain_timeout = -0.5", "server.drain_timeout", "0"),
        ("server = 1", "server", "dictionary"),
        ("[access]\npublic = 1", "access.public", "boolean"),
        ("[access]\npublic = 'yes'", "access.public", "boolean"),
        ("[access]\nmissing_installations = 'maybe'", "access.missing_installations", "'deny'"),
        ("[http]\nallowed_suffixes = 'js'", "http.allowed_suffixes", "list"),
        ("[http]\nallowed_suffixes = ['js', 1]", "http.allowed_suffixes.1", "string"),
        ("[http]\nallowed_suffixes = ['tar.gz']", "http.allowed_suffixes", "'js'"),
        ("[http]\nallowed_suffixes = ['']", "http.allowed_suffixes", "'js'"),
        ("[http]\nallowed_suffixes = ['js', 'html']", "http.allowed_suffixes", "never served"),
        ("[http]\nallowed_suffixes = ['.HTM']", "http.allowed_suffixes", "never served"),
        ("[http]\nallowed_suffixes = ['py']", "http.allowed_suffixes", "never served"),
        ("[http]\napi_prefix = 'api'", "http.api_prefix", "starts with '/'"),
        ("[http]\napi_prefix = '/api/'", "http.api_prefix", "does not end"),
        ("[http]\napi_prefix = '/'", "http.api_prefix", "does not end"),
        ("[http]\nunpinned_max_age = -1", "http.unpinned_max_age", "0"),
        ("[database]\nquery_timeout = 0", "database.query_timeout", "greater than 0"),
        ("[database]\nmin_size = 0", "database.min_size", "1"),
        ("[identity]\nchain = []", "identity.chain", "at least 1"),
        ("[identity]\nchain = ['ldap']", "identity.chain.0", "'proxy'"),
        ("[identity.jwt]\nalgorithms = ['none']", "identity.jwt.algorithms.0", "'HS256'"),
        ("[identity.jwt]\nalgorithms = []", "identity.jwt.algorithms", "at least 1"),
        ("[identity.proxy]\ntrusted = ['host']", "identity.proxy.trusted", "'host'"),
        ("[identity.proxy]\ntrusted = ['10.0.0.1/8']", "identity.proxy.trusted", "10.0.0.1/8"),
        ("[identity.proxy]\nheader = 'X User'", "identity.proxy.header", "pattern"),
        ("[identity.proxy]\nheader = ''", "identity.proxy.header", "pattern"),
        ("[identity.signed]\nmax_ttl = 0", "identity.signed.max_ttl", "greater than 0"),
        ("[cache.versions]\nttl = nan", "cache.versions.ttl", "0"),
        ("[cache.versions]\nmax_entries = 0", "cache.versions.max_entries", "1"),
        ("[cache.assets]\nmax_bytes = -1", "cache.assets.max_bytes", "0"),
        ("[delivery]\nmode = 'sendfile'", "delivery.mode", "'accel'"),
        ("[delivery]\naccel_prefix = 'files'", "delivery.accel_prefix", "starts with '/'"),
        ("[freshness]\npostgres_channel = 'A B'", "freshness.postgres_channel", "pattern"),
        ("[observability]\nlog_format = 'xml'", "observability.log_format", "'json'"),
        ("[observability]\naccess_log = 1.5", "observability.access_log", "share from 0 to 1"),
        ("[observability]\naccess_log = -1", "observability.access_log", "share from 0 to 1"),
        ("[observability]\naccess_log = nan", "observability.access_log", "share from 0 to 1"),
        ("[observability]\naccess_log = '0.5'", "observability.access_log", "share from 0 to 1"),
    ],
)
def test_a_wrong_value_in_the_file_stops_with_the_key_and_what_was_expected(
    content: str, key: str, expectation: str
) -> None:
    message = refusal(content)
    assert message.startswith(f"given.toml: {key}: ")
    assert expectation in message


@pytest.mark.parametrize(
    ("text", "share"),
    [("true", 1), ("false", 0), ("0.01", 0.01), ("1", 1), ("0", 0), ("1.0", 1)],
)
def test_the_access_log_is_a_switch_or_a_share(text: str, share: float) -> None:
    in_file = from_file(f"[observability]\naccess_log = {text}")
    in_variable = from_environment(OBSERVABILITY__ACCESS_LOG=text)
    for settings in (in_file, in_variable):
        assert float(settings.observability.access_log) == share


@pytest.mark.parametrize(
    ("name", "text", "expectation"),
    [
        ("SERVER__PORT", "eighty", "integer"),
        ("SERVER__PORT", "", "integer"),
        ("SERVER__PORT", "80.5", "integer"),
        ("SERVER__PORT", "70000", "65535"),
        ("SERVER__DRAIN_TIMEOUT", "soon", "number"),
        ("ACCESS__PUBLIC", "perhaps", "boolean"),
        ("ACCESS__MISSING_INSTALLATIONS", "perhaps", "'deny'"),
        ("IDENTITY__CHAIN", "jwt,ldap", "'proxy'"),
        ("IDENTITY__CHAIN", "", "at least 1"),
        ("IDENTITY__CHAIN", '["jwt", "ldap"]', "'proxy'"),
        ("HTTP__CORS_ORIGINS", "https://a.example, *", "https://app.example"),
        ("DATABASE__URL", "mysql://h/n", "postgresql://"),
        ("DATABASE__URL", "first\nsecond", "postgresql://"),
        ("CACHE__INSTALLATIONS__TTL", "-1", "0"),
        ("OBSERVABILITY__ACCESS_LOG", "2", "share from 0 to 1"),
    ],
)
def test_a_wrong_variable_stops_with_the_key_and_what_was_expected(
    name: str, text: str, expectation: str
) -> None:
    message = refusal(**{name: text})
    key = name.replace("__", ".").lower()
    assert name in message or key in message
    assert expectation in message


def test_all_mistakes_are_named_at_once_below_the_place_where_they_are() -> None:
    content = "[server]\nprot = 1\nworkers = 0\n[cache.versions]\nttl = 'soon'\n"
    message = refusal(
        content, SERVER__HSOT="x", SERVER__PORT="eighty", CACHE__ASSETS__MAX_BYTES="-1"
    )
    assert "\n" not in message
    for part in (
        "environment: GATEWAY__SERVER__HSOT: unknown setting (did you mean server.host?); ",
        "environment: GATEWAY__SERVER__PORT: ",
        "environment: GATEWAY__CACHE__ASSETS__MAX_BYTES: cache.assets.max_bytes: ",
        "server.prot: unknown setting (did you mean server.port?); ",
        "server.workers: ",
        "cache.versions.ttl: ",
    ):
        assert message.count(part) == 1, (part, message)
    assert message.count("given.toml: ") == 1


@pytest.mark.parametrize(
    "url",
    [
        "", "gateway.db", "mysql://host/name", "http://[::1", "sqlite:", "sqlite://", "sqlite:///",
        "sqlite:gateway.db", "sqlite:////", "SQLITE", "sqlite:///?mode=ro",
    ],
)  # fmt: skip
def test_a_database_url_without_a_database_is_refused(url: str) -> None:
    assert "database.url: " in refusal(f"[database]\nurl = '{url}'")


@pytest.mark.parametrize(
    ("url", "dialect"),
    [
        ("sqlite:///gateway.db", "sqlite"),
        ("sqlite+aiosqlite:///gateway.db", "sqlite"),
        ("postgresql://user:secret@host/name", "postgresql"),
        ("postgres://host/name", "postgresql"),
        ("postgresql+asyncpg://host/name", "postgresql"),
    ],
)
def test_the_scheme_of_the_url_says_which_database(url: str, dialect: str) -> None:
    assert from_environment(DATABASE__URL=url).database_dialect == dialect


@pytest.mark.parametrize(
    "origin",
    [
        "*", "null", "app.example", "https://app.example/", "https://app.example/page",
        "https://", "//app.example", "https://app.example?x=1", "https://app.example#x",
        "https://user@app.example",
    ],
)  # fmt: skip
def test_what_no_browser_sends_as_an_origin_is_refused(origin: str) -> None:
    message = refusal(f"[http]\ncors_origins = ['{origin}']")
    assert "http.cors_origins" in message
    assert "'https://app.example'" in message


def test_suffixes_lose_their_dot_and_their_case() -> None:
    settings = from_file("[http]\nallowed_suffixes = ['.JS', 'Css']")
    assert settings.http.allowed_suffixes == ["js", "css"]


def test_a_whole_number_will_do_where_seconds_are_wanted() -> None:
    assert from_file("[server]\ndrain_timeout = 5").server.drain_timeout == 5.0


@pytest.mark.parametrize("prefix", ["", "/api", "/api/v1"])
def test_an_api_prefix_may_be_empty_or_begin_with_a_slash(prefix: str) -> None:
    assert from_file(f"[http]\napi_prefix = '{prefix}'").http.api_prefix == prefix


# The environment


@pytest.mark.parametrize("name", list(setting_types()))
def test_every_setting_can_be_set_from_the_environment(name: str) -> None:
    default = value_of(Settings(), name)
    text = ",".join(default) if isinstance(default, list) else str(default)
    variable = name.upper().replace(".", "__")
    settings = load_settings(environ={f"GATEWAY__{variable}": text})
    assert value_of(settings, name) == default


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("SERVER__PORT", "9000", 9000),
        ("SERVER__HOST", "::1", "::1"),
        ("SERVER__DRAIN_TIMEOUT", "2.5", 2.5),
        ("SERVER__DRAIN_TIMEOUT", "3", 3.0),
        ("ACCESS__PUBLIC", "false", False),
        ("ACCESS__PUBLIC", "0", False),
        ("DEV__ENABLED", "true", True),
        ("DEV__ENABLED", "1", True),
        ("ADMIN__TOKEN", "12345", "12345"),  # text stays text
        ("ADMIN__TOKEN", "true", "true"),
        ("ADMIN__TOKEN", "", ""),
        ("ADMIN__TOKEN", "a,b", "a,b"),
        ("IDENTITY__JWT__SECRET", " spaces ", " spaces "),
        ("CACHE__VERSIONS__NEGATIVE_TTL", "0.25", 0.25),
        ("DELIVERY__MODE", "accel", "accel"),
        ("HTTP__CORS_ORIGINS", "https://a.example", ["https://a.example"]),
        ("HTTP__CORS_ORIGINS", "", []),
        (
            "HTTP__CORS_ORIGINS",
            " https://a.example , http://b.example:8080,",
            ["https://a.example", "http://b.example:8080"],
        ),
        (
            "HTTP__CORS_ORIGINS",
            ' ["https://a.example", "http://b.example:8080"] ',
            ["https://a.example", "http://b.example:8080"],
        ),
        ("HTTP__CORS_ORIGINS", "[]", []),
        ("IDENTITY__CHAIN", "proxy,jwt", ["proxy", "jwt"]),
        ("IDENTITY__CHAIN", '["proxy", "jwt"]', ["proxy", "jwt"]),
        ("IDENTITY__PROXY__TRUSTED", "10.0.0.0/8, ::1, unix", ["10.0.0.0/8", "::1", "unix"]),
        ("IDENTITY__ADMIN_USERS", "1,2", ["1", "2"]),
        ("OBSERVABILITY__METRICS_ALLOW", "10.0.0.0/8,unix", ["10.0.0.0/8", "unix"]),
    ],
)
def test_a_variable_is_read_as_the_type_of_its_setting(
    name: str, text: str, expected: object
) -> None:
    settings = from_environment(**{name: text})
    value = value_of(settings, name.replace("__", ".").lower())
    assert value == expected
    assert type(value) is type(expected)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('["https://a.example"', "invalid JSON: "),
        ('["https://a.example",]', "invalid JSON: "),
        ("[https://a.example]", "invalid JSON: "),
        ('["https://a.example", 1]', "input should be a valid string"),
        ('[["https://a.example"]]', "input should be a valid string"),
        ('["a.example"]', "http.cors_origins: expected origins such as 'https://app.example'"),
    ],
)
def test_a_list_that_begins_as_json_and_is_none_is_refused(text: str, problem: str) -> None:
    message = refusal(HTTP__CORS_ORIGINS=text)
    assert message.startswith(f"environment: GATEWAY__HTTP__CORS_ORIGINS: {problem}")


def test_the_environment_wins_over_the_file() -> None:
    content = "[server]\nport = 1\nworkers = 2\n[cache.versions]\nttl = 3.0\nnegative_ttl = 4.0"
    settings = from_file(
        content, {"GATEWAY__SERVER__PORT": "5", "GATEWAY__CACHE__VERSIONS__TTL": "6"}
    )
    assert (settings.server.port, settings.server.workers) == (5, 2)
    assert (settings.cache.versions.ttl, settings.cache.versions.negative_ttl) == (6.0, 4.0)


def test_overrides_win_over_the_environment() -> None:
    environ = {"GATEWAY__SERVER__PORT": "5", "GATEWAY__SERVER__WORKERS": "2"}
    settings = load_settings(environ=environ, overrides={"server": {"port": 7}})
    assert (settings.server.port, settings.server.workers) == (7, 2)


def test_a_variable_below_a_section_of_the_wrong_type_leaves_the_file_to_blame() -> None:
    message = refusal("server = 1", SERVER__PORT="80")
    assert message.startswith("given.toml: server: ")


def test_the_process_environment_is_read_where_none_is_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GATEWAY__SERVER__PORT", "9001")
    assert load_settings().server.port == 9001


# Which file


def test_gateway_config_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "elsewhere.toml").write_text("[server]\nport = 9002")
    settings = load_settings(environ={CONFIG_VARIABLE: str(tmp_path / "elsewhere.toml")})
    assert settings.server.port == 9002


def test_config_toml_of_the_working_directory_is_read_where_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("[server]\nport = 9003")
    assert load_settings(environ={}).server.port == 9003


def test_gateway_config_wins_over_the_working_directory(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("[server]\nport = 9003")
    (tmp_path / "other.toml").write_text("[server]\nport = 9004")
    assert load_settings(environ={CONFIG_VARIABLE: "other.toml"}).server.port == 9004


def test_a_file_given_by_argument_wins_over_gateway_config(tmp_path: Path) -> None:
    (tmp_path / "other.toml").write_text("[server]\nport = 9004")
    (tmp_path / "argument.toml").write_text("[server]\nport = 9005")
    environ = {CONFIG_VARIABLE: "other.toml"}
    assert load_settings(Path("argument.toml"), environ=environ).server.port == 9005


def test_an_empty_gateway_config_names_nothing() -> None:
    assert load_settings(environ={CONFIG_VARIABLE: ""}).server.port == 8000


@pytest.mark.parametrize("name", ["absent.toml", "."])
def test_a_named_file_that_cannot_be_read_stops_the_start(name: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read") as caught:
        load_settings(environ={CONFIG_VARIABLE: name})
    assert str(caught.value).startswith(f"{name}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [b"[server", b"port =", b"[server]\nport = 1\nport = 2\n", b"\xff\xfe", b"a = 'b\nc'\n"],
)
def test_a_file_that_is_no_toml_stops_with_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match="not valid TOML") as caught:
        load_settings(path, environ={})
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_a_missing_file_given_by_argument_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_settings(tmp_path / "absent.toml", environ={})


# Paths


def test_relative_paths_count_from_the_folder_of_the_file(tmp_path: Path) -> None:
    folder = tmp_path / "site"
    folder.mkdir()
    config = folder / "config.toml"
    config.write_text("[storage]\nroot = 'files'\n[database]\nurl = 'sqlite:///db/x.db'")
    settings = load_settings(config, environ={})
    assert settings.plugins_dir == folder / "files"
    assert settings.sqlite_file == folder / "db/x.db"
    assert settings.path("keys/public.pem") == folder / "keys/public.pem"


def test_relative_paths_hold_when_the_working_directory_changes_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "config.toml").write_text("")
    settings = load_settings(Path("site/config.toml"), environ={})
    monkeypatch.chdir("/")
    assert settings.plugins_dir == folder / "plugins"


def test_a_variable_with_a_relative_path_counts_from_the_file_too(tmp_path: Path) -> None:
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "config.toml").write_text("")
    environ = {CONFIG_VARIABLE: str(folder / "config.toml"), "GATEWAY__STORAGE__ROOT": "files"}
    assert load_settings(environ=environ).plugins_dir == folder / "files"


def test_without_a_file_relative_paths_count_from_the_working_directory(tmp_path: Path) -> None:
    settings = load_settings(environ={})
    assert settings.plugins_dir == tmp_path / "plugins"
    assert settings.sqlite_file == tmp_path / "gateway.db"


def test_absolute_paths_stay_as_they_are(tmp_path: Path) -> None:
    settings = from_environment(
        STORAGE__ROOT=str(tmp_path / "abs"), DATABASE__URL=f"sqlite:///{tmp_path}/abs.db"
    )
    assert settings.plugins_dir == tmp_path / "abs"
    assert settings.sqlite_file == tmp_path / "abs.db"


def test_the_driver_and_the_options_of_a_url_are_no_part_of_the_file_name(tmp_path: Path) -> None:
    settings = from_environment(DATABASE__URL="sqlite+aiosqlite:///x.db?timeout=3")
    assert settings.sqlite_file == tmp_path / "x.db"


def test_settings_based_elsewhere_leave_the_original_alone(tmp_path: Path) -> None:
    original = load_settings(environ={})
    moved = original.based_at(tmp_path / "other")
    assert moved.plugins_dir == tmp_path / "other" / "plugins"
    assert original.plugins_dir == tmp_path / "plugins"
