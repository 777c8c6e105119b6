"""When a folder that is being written holds a finished build. Looks and times are made up."""

from pathlib import Path

from gateway.development.build_watch import QUIET_S, BuildWatch
from gateway.development.plugin_folder import Facts, Layout, Look

LAYOUT = Layout(Path("/mine"), "dist/remoteEntry.js", {"dist": Path("/mine/dist")})
LOOK_S = 0.01


def look(**files: int) -> Look:
    """Sizes by names of files in `dist`."""
    facts: tuple[Facts, ...] = tuple(
        (f"dist/{name}.js", size, 0, 0, 0) for name, size in files.items()
    )
    return Look(LAYOUT, None, facts)


WHOLE = look(remoteEntry=100, chunk=900)


class Watcher:
    """Looks every 10 ms. A look takes no time."""

    def __init__(self) -> None:
        self.watch = BuildWatch()
        self.now = 50.0

    def finished_after(self, seen: Look, duration_s: float) -> float | None:
        """The time until the look counts as finished, if the folder stays like that so long."""
        start = self.now
        while self.now < start + duration_s:
            if self.watch.quiet_s(seen, self.now, self.now) >= QUIET_S:
                return self.now - start
            self.now += LOOK_S
        return None


def test_a_build_is_finished_when_nothing_has_changed_for_a_while() -> None:
    after = Watcher().finished_after(WHOLE, 1.0)
    assert after is not None
    assert QUIET_S <= after <= QUIET_S + 2 * LOOK_S


def test_a_writer_who_never_rests_is_never_finished() -> None:
    watcher = Watcher()
    for size in range(100):
        assert watcher.finished_after(look(remoteEntry=100, chunk=size), 0.8 * QUIET_S) is None
    assert watcher.finished_after(WHOLE, 1.0) is not None


def test_a_machine_that_stands_still_is_no_quiet() -> None:
    watch = BuildWatch()
    watch.quiet_s(WHOLE, 10.0, 10.0)
    assert watch.quiet_s(WHOLE, 3600.0, 3600.0) < QUIET_S, "the bundler may be in the middle"


def test_without_an_entry_nothing_is_finished_however_long_it_rests() -> None:
    watcher = Watcher()
    assert watcher.finished_after(look(chunk=900), 60.0) is None
    assert watcher.finished_after(look(chunk=900, remoteEntry=0), 60.0) is None
    assert watcher.finished_after(WHOLE, 1.0) is not None


def test_a_settled_build_is_finished_once() -> None:
    watcher = Watcher()
    assert watcher.finished_after(WHOLE, 1.0) is not None
    watcher.watch.settle(WHOLE)
    assert watcher.finished_after(WHOLE, 60.0) is None
    assert not watcher.watch.is_changing


def test_what_is_settled_and_then_written_again_is_finished_again() -> None:
    watcher = Watcher()
    watcher.finished_after(WHOLE, 1.0)
    watcher.watch.settle(WHOLE)
    assert watcher.finished_after(look(chunk=1), 1.0) is None
    assert watcher.finished_after(look(remoteEntry=100, chunk=901), 1.0) is not None


def test_a_folder_that_can_hold_no_build_is_told_of_once() -> None:
    watcher, refused = Watcher(), Look(None, "plugin.json: not valid JSON", ())
    assert watcher.finished_after(refused, 1.0) is not None
    watcher.watch.settle(refused)
    assert watcher.finished_after(refused, 60.0) is None


def test_a_build_lasts_from_its_first_change_to_its_last() -> None:
    watcher = Watcher()
    watcher.finished_after(look(), 2.0)  # the bundler has emptied its folder, and compiles
    watcher.finished_after(WHOLE, 1.0)
    assert abs(watcher.watch.duration_s - 2.0) < 2 * LOOK_S
