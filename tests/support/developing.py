"""`gateway dev` on a site of its own, and a plugin as a bundler writes it.

Ada develops NetworkReview. Grace has a published version of it, and Lin has none.
"""

import json
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self

from benchmarks.processes import free_port
from gateway.demo.demo_site import USERS, DemoUser
from tests.support.server import Server, serving
from tests.support.urls import MANIFEST, public
from tests.support.waiting import eventually

SLUG = "NetworkReview"
_METADATA = {
    "slug": SLUG,
    "version": "2.0.0",
    "scope": SLUG,
    "modules": [{"name": "Text", "display_name": "A text"}],
}
# A container, and a chunk with its only module.
_ENTRY = """(() => {
  const folder = new URL(".", document.currentScript.src).href;
  const load = (chunk) => new Promise((resolve, reject) => {
    const script = document.createElement("script");
    const fail = () => reject(Object.assign(new Error("No chunk"), { request: script.src }));
    Object.assign(script, { src: folder + chunk, onload: resolve, onerror: fail });
    document.head.append(script);
  });
  const show = () => React.createElement("p", { id: "text" }, window.builtText);
  window.%s = { init() {}, get: () => load("text.js").then(() => () => ({ default: show })) };
})();
"""


class Developing:
    """The command, which may be stopped and started again, and the bundler."""

    def __init__(self, folder: Path, developer: DemoUser = USERS[0], text: str = "first") -> None:
        """The plugin's folder is made in `folder`, with a build of `text`, if there is one."""
        self._developer = developer
        self.database_id = f"{developer.id}_{SLUG}"
        self.folder = folder / "plugin"
        self.folder.mkdir()
        self._running = ExitStack()
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._entry = ""
        if text:
            self.write(text)
        else:
            self._write_metadata(_METADATA)

    def start(self) -> None:
        """Returns when the developer has the build that the folder holds."""
        options = ("--user", self._developer.name, "--port", str(self.port))
        elsewhere = ("env", "-C", str(self.folder))  # no config.toml is there
        self.server: Server = self._running.enter_context(
            serving({}, str(self.folder), *options, command="dev", under=elsewhere)
        )
        if self._entry:
            self._until_served()

    def stop(self) -> None:
        self._running.close()

    @contextmanager
    def running(self) -> Iterator[Self]:
        """From its start until the block ends."""
        try:
            self.start()
            yield self
        finally:
            self.stop()

    def token(self) -> str:
        """The developer's."""
        users = self.server.get("/demo/users.json").json["users"]
        return next(str(user["token"]) for user in users if user["id"] == self._developer.id)

    @property
    def number(self) -> int:
        """Of the build that the developer has."""
        manifest = self.server.get(MANIFEST, {"Authorization": f"Bearer {self.token()}"}).json
        return int(manifest[SLUG]["version"].removeprefix("2.0.0-dev."))

    def write(
        self, text: str, *, scope: str = SLUG, chunk: bool = True, modules: bool = True
    ) -> None:
        """Writes a build that shows `text`.

        The folder is exchanged, because a test that is paused in between must not make two builds.
        """
        self._write_metadata(_METADATA if modules else {**_METADATA, "modules": []})
        self._entry = _ENTRY % scope + f"// {text}, {time.monotonic_ns()}\n"
        built, dist = self.folder.with_name("built"), self.folder / "dist"
        built.mkdir()
        (built / "remoteEntry.js").write_text(self._entry)
        if chunk:
            (built / "text.js").write_text(f'window.builtText = "{text}";\n')
        if dist.exists():
            dist.rename(self.folder.with_name("before"))
        built.rename(dist)
        shutil.rmtree(self.folder.with_name("before"), ignore_errors=True)

    def build(
        self, text: str, *, scope: str = SLUG, chunk: bool = True, modules: bool = True
    ) -> None:
        """Writes a build, and returns when the developer has it."""
        self.write(text, scope=scope, chunk=chunk, modules=modules)
        self._until_served()

    def refuse(self) -> int:
        """Makes a build that is refused. Returns its number."""
        before = len(self._refused())
        (self.folder / "plugin.json").write_text("{")
        return eventually(self._refused, lambda numbers: len(numbers) > before)[-1]

    def _refused(self) -> list[int]:
        matches = (re.match(r"build (\d+) of .* is refused", line) for line in self.server.output)
        return [int(match[1]) for match in matches if match]

    def _write_metadata(self, metadata: Mapping[str, Any]) -> None:
        """Leaves a file alone that is right already, as an editor does."""
        file, text = self.folder / "plugin.json", json.dumps(metadata)
        if not file.exists() or file.read_text() != text:
            file.write_text(text)

    def _until_served(self) -> None:
        url = public(self.database_id)
        eventually(lambda: self.server.get(url).body, lambda body: body == self._entry.encode())
