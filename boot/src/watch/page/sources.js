// Where messages come from: a machine that runs, by its launcher's server; or a recording in this very file.

const POLL = 80;

/** Asks the launcher again and again; it answers with what is new. */
class LiveSource {
  constructor() {
    this.next = -1;
    this.machine = "starting";
    this.failures = 0;
  }

  /** Calls `onMessages(list, isAnew)` and `onMachine(state)` until the launcher has gone. */
  async run(onMessages, onMachine) {
    while (this.machine !== "gone") {
      const began = performance.now();
      try {
        await this.ask(onMessages);
        this.failures = 0;
      } catch (error) {
        if (!(error instanceof TypeError)) console.error(error);
        // Not at once: a busy machine may not answer for a moment.
        if (++this.failures > 12) this.machine = "gone";
      }
      onMachine(this.machine);
      await new Promise((done) => setTimeout(done, Math.max(10, POLL - (performance.now() - began))));
    }
  }

  async ask(onMessages) {
    const answer = await fetch(`/messages?since=${this.next}`, { cache: "no-store" });
    if (!answer.ok) throw new TypeError(`the launcher said ${answer.status}`);
    this.machine = answer.headers.get("X-Machine");
    const isAnew = answer.headers.get("X-Anew") === "yes";
    const reader = new ByteReader(new Uint8Array(await answer.arrayBuffer()));
    const messages = splitMessages(reader);
    this.next = Number(answer.headers.get("X-Next"));
    if (messages.length > 0) onMessages(messages, isAnew);
  }

  /** Tells the launcher what to do with the machine. Returns what went wrong, or null. */
  async control(command) {
    try {
      const answer = await fetch("/control", { method: "POST", body: command });
      return answer.ok ? null : await answer.text();
    } catch {
      return "The launcher does not answer: has it ended?";
    }
  }

  /** This page closes: unless another one is open, the machine goes on. */
  leave() {
    navigator.sendBeacon("/control", "leave");
  }
}

/** The recording that follows the page: gzip in base64. */
async function readRecording(text) {
  const letters = text.trim();
  const compressed = Uint8Array.from(atob(letters.slice(0, letters.length & ~3)), (letter) => letter.charCodeAt(0));
  // Not by way of a Blob, whose bytes another process has: so the run is there before a clock that skips idle time goes on, as
  // that of a browser which takes a picture of this page does.
  const { readable, writable } = new DecompressionStream("gzip");
  const writer = writable.getWriter();
  for (const done of [writer.write(compressed), writer.close()]) done.catch(() => {});
  const parts = [];
  // What was written before a recording was cut off can still be shown.
  try {
    const reader = readable.getReader();
    for (let part = await reader.read(); !part.done; part = await reader.read()) parts.push(part.value);
  } catch (error) {
    console.warn("the recording ends early:", error);
  }
  const bytes = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  parts.reduce((at, part) => {
    bytes.set(part, at);
    return at + part.length;
  }, 0);
  return splitMessages(new ByteReader(bytes));
}

/** Messages with their lengths in front; an incomplete last one is left out. */
function splitMessages(reader) {
  const messages = [];
  try {
    while (!reader.isAtEnd) {
      const part = reader.part();
      messages.push(reader.bytes.subarray(part.at, part.end));
    }
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
  }
  return messages;
}
