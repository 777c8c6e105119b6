"""What a shell completes after it has read the script of `gateway completion`."""

import subprocess
from pathlib import Path

import pytest

from gateway.cli import main
from tests.conftest import require_program
from tests.support.commands import line_of, run
from tests.support.site import Site, populated
from tests.support.terminal import terminal


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return populated(tmp_path_factory.mktemp("site"))


def complete(*words: str, environment: dict[str, str]) -> list[str]:
    """What click offers for the last word: what the scripts of all shells ask for."""
    asking = {
        "_GATEWAY_COMPLETE": "bash_complete",
        "COMP_WORDS": "\n".join(("gateway", *words)),
        "COMP_CWORD": str(len(words)),
    }
    lines = run(environment | asking).stdout.split()
    return [line.partition(",")[2] for line in lines]


def test_commands_options_and_choices_are_completed() -> None:
    assert complete("inst", environment={}) == ["install"]
    assert complete("sign", "--t", environment={}) == ["--ttl"]
    assert complete("proxy-config", "", environment={}) == ["nginx", "caddy", "vite"]


def test_commands_are_offered_in_the_order_of_use() -> None:
    offered = complete("", environment={})
    assert offered[:3] == ["demo", "init", "publish"]
    assert sorted(offered) == sorted(main.commands)


def test_slugs_are_those_of_the_folder_of_the_configured_site(site: Site) -> None:
    (site.plugins / "shared" / "not a slug").mkdir()
    slugs = {path.name for path in (site.plugins / "shared").iterdir()} - {"not a slug"}
    assert complete("install", "", environment=site.environment) == sorted(slugs)
    first = min(slugs)
    assert complete("update", first[:3], environment=site.environment)[0] == first


def test_without_a_site_no_slug_is_completed(tmp_path: Path) -> None:
    for environment in (
        {"GATEWAY__STORAGE__ROOT": str(tmp_path / "none")},
        {"GATEWAY__SERVER__PORT": "eighty"},
    ):
        assert complete("install", "", environment=environment) == []


@pytest.mark.parametrize(
    ("shell", "part"),
    [
        ("bash", "-F _gateway_completion gateway"),
        ("zsh", "#compdef gateway"),
        ("fish", "complete --no-files --command gateway"),
    ],
)
def test_each_shell_gets_its_own_script(shell: str, part: str) -> None:
    assert part in run({}, "completion", shell).stdout


def test_an_unknown_shell_is_refused() -> None:
    assert "'bash', 'zsh', 'fish'" in line_of(run({}, "completion", "tcsh"))


@pytest.mark.slow
def test_bash_completes_what_is_typed(site: Site, tmp_path: Path) -> None:
    script = """
        set -eu
        eval "$(gateway completion bash)"
        type_words() {  # completes the last word, as bash does at a TAB
            COMP_WORDS=(gateway "$@") COMP_CWORD=$# COMPREPLY=()
            _gateway_completion gateway
            echo "${COMPREPLY[@]}"
        }
        complete -p gateway >/dev/null
        type_words pub
        type_words install --us
        type_words install Revie
    """
    done = subprocess.run(
        [require_program("bash"), "--norc", "-c", script],
        env={**terminal(tmp_path), **site.environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "publish",
        "--user",
        "Review",
    ]
