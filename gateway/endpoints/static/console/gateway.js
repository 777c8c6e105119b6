// Asks the gateway. Addresses are relative to the page, so it also works mounted below a prefix.

export class Refused extends Error {}

// The JSON of an answer. Raises Refused, with a sentence.
export async function ask(address, options = {}) {
  const answer = await answerOf(address, options);
  return reached(answer.json());
}

export function post(address, body) {
  return ask(address, { method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json" } });
}

// The events of a stream that ends, as [name, JSON]. An EventSource would begin such a stream again, and does not say why it
// was refused. Raises Refused.
export async function* eventsOf(address, signal) {
  const answer = await answerOf(address, { signal });
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reached(reader.read());
      if (done) return;
      const blocks = (rest + value).split("\n\n");
      rest = blocks.pop();
      yield* blocks.map(parsed).filter(([name]) => name);
    }
  } finally {
    reader.cancel().catch(() => {}); // the connection may be lost already
  }
}

// A query without the values that are empty.
export function query(values) {
  const given = Object.entries(values).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  return `?${new URLSearchParams(given)}`;
}

async function answerOf(address, options) {
  const answer = await reached(fetch(address, { ...options, cache: "no-store" }));
  if (answer.ok) return answer;
  const content = await answer.json().catch(() => null);
  throw new Refused(content?.detail ? `${content.detail} (${answer.status} ${content.code})` : `The gateway answered ${answer.status}.`);
}

async function reached(promise) {
  try {
    return await promise;
  } catch {
    throw new Refused("The gateway cannot be reached.");
  }
}

function parsed(block) {
  const fields = block.split("\n").map((line) => line.split(/: ?(.*)/s));
  const valueOf = (name) => fields.find(([field]) => field === name)?.[1];
  return [valueOf("event"), JSON.parse(valueOf("data") ?? "null")];
}
