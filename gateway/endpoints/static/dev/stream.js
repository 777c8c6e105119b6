// What the gateway tells of its builds. A stream begins with how things are, so that a page that was not connected
// learns what it has missed.

const PAUSE_MS = 500;

// Keeps `state` as it is told, and calls `changed` each time. Only a page that is seen is connected: a browser opens
// six connections to a server at most, for all of its pages.
export function follow(base, state, changed) {
  const hear = {
    plugin: (plugin) => ({ plugin }),
    build: (build) => ({ build: { ...build, toldAt: performance.now() }, refused: null }),
    refused: (refused) => ({ refused }),
  };
  let source = null;
  let failures = 0;

  function connect() {
    if (document.hidden || source) return;
    source = new EventSource(new URL("events", base));
    source.onerror = () => {
      disconnect();
      setTimeout(connect, PAUSE_MS);
      failures += 1;
      if (failures > 1) become({ isLost: true }); // a server that was only started again is back by then
    };
    for (const [name, told] of Object.entries(hear)) {
      source.addEventListener(name, ({ data }) => {
        failures = 0;
        become({ ...told(JSON.parse(data)), isLost: false });
      });
    }
  }

  function disconnect() {
    source?.close();
    source = null;
  }

  function become(change) {
    Object.assign(state, change);
    changed();
  }

  document.addEventListener("visibilitychange", () => (document.hidden ? disconnect() : connect()));
  connect();
}
