// The live stream: it comes back by itself, and says while it is lost.
// EventSource connects again after a lost connection, but not after an HTTP error, and it does not notice a peer that is
// silent. Both are done here.

const SILENT_AFTER_MS = 12_000; // a state comes each second
const FIRST_PAUSE_MS = 2_000;
const LONGEST_PAUSE_MS = 30_000;

export class Stream {
  #address;
  #listeners;
  #onConnection;
  #source = null;
  #silence = null;
  #pauseMs = FIRST_PAUSE_MS;

  // `listeners`: a function for each name of an event; it gets the JSON.
  // `onConnection`: called with true when events arrive, and with false when they stop.
  constructor(address, listeners, onConnection) {
    this.#address = address;
    this.#listeners = listeners;
    this.#onConnection = onConnection;
    this.#open();
  }

  #open() {
    const source = (this.#source = new EventSource(this.#address));
    for (const [name, hear] of Object.entries(this.#listeners)) {
      source.addEventListener(name, (event) => {
        this.#heard();
        hear(JSON.parse(event.data));
      });
    }
    // The gateway ends each stream after some minutes. It is open again in a moment: that is no loss.
    source.addEventListener("end", () => this.#again(0));
    source.addEventListener("error", () => {
      this.#onConnection(false);
      if (source.readyState === EventSource.CLOSED) this.#again(this.#pauseMs);
    });
    this.#watch();
  }

  #heard() {
    this.#pauseMs = FIRST_PAUSE_MS;
    this.#onConnection(true);
    this.#watch();
  }

  #watch() {
    clearTimeout(this.#silence);
    this.#silence = setTimeout(() => {
      this.#onConnection(false);
      this.#again(0);
    }, SILENT_AFTER_MS);
  }

  #again(pauseMs) {
    this.#source.close();
    clearTimeout(this.#silence);
    this.#silence = setTimeout(() => this.#open(), pauseMs);
    if (pauseMs > 0) this.#pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS);
  }
}
