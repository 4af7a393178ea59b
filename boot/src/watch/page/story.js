// The story in words: what has happened, in sentences; what is alike and close together is one of them.

/** How near two events are that belong to one sentence, in microseconds of the guest's clock. */
const NEAR = 400e3;
/** The longest time that one sentence is about. */
const LONGEST = 1.5e6;
const STORY_LONGEST = 60;
const STORY_SAMPLES = 12;

/** To which sentence an event belongs; null for those that would only be noise. */
function sentenceOf(event) {
  switch (event.kind) {
    case EVENTS.fault: return `fault ${FAULT_SERVICES[event.service]?.group} ${event.thread}`;
    case EVENTS.reclaim: return `reclaim ${event.by}`;
    case EVENTS.pageOut: return `out ${event.area}`;
    case EVENTS.pageIn: return `in ${event.area}`;
    case EVENTS.completed: return `batch ${event.area} ${event.write} ${event.ok}`;
    case EVENTS.stored: return `stored ${event.place}`;
    case EVENTS.loaded: return `loaded ${event.place}`;
    case EVENTS.kswapd: return "kswapd";
    case EVENTS.slotFreed: return `freed ${event.area}`;
    case EVENTS.outOfMemory: case EVENTS.swapOn: case EVENTS.swapOff: return `once ${event.kind} ${event.time}`;
    case EVENTS.taskStart: return "begin";
    case EVENTS.taskEnd: return "end";
    case EVENTS.cgroupLimit: return `limit ${event.cgroup}`;
    default: return null;
  }
}

const PLACES = ["zram", "zswap"];

/** An entry of the story as a sentence. */
function tell(entry, tape) {
  const { first, events: number, sums } = entry;
  const who = tape.taskName(first.thread);
  const area = tape.areaName(first.area);
  switch (first.kind) {
    case EVENTS.fault: return tellFaults(FAULT_SERVICES[first.service]?.group, who, number);
    case EVENTS.reclaim: {
      const by = ["kswapd", "Tasks that found no free frame", "Tasks at their cgroup's limit"][first.by];
      return `${by} looked at ${pages(sums.scanned)}; ${count(sums.freed)} could go (${percent(sums.freed, sums.scanned)}).`;
    }
    case EVENTS.pageOut: return `${pages(number)} got a slot in ${area} and left memory.`;
    case EVENTS.pageIn: return `${pages(number)} came back from ${area}.`;
    case EVENTS.completed: {
      const verb = first.write ? "written to" : "read from";
      const requests = number === 1 ? "one batch" : `${count(number)} batches, ${(sums.folios / number).toFixed(1)} pages each`;
      return first.ok ? `${pages(sums.folios)} ${were(sums.folios)} ${verb} ${area} in ${requests}.` : `${pages(sums.folios)} could not be ${verb} ${area}: the device failed.`;
    }
    case EVENTS.stored: return `${PLACES[first.place]} compressed ${pages(number)} to ${count(sums.bytes / number)} bytes each, of 4,096.`;
    case EVENTS.loaded: return `${pages(number)} came out of ${PLACES[first.place]}: no disk was asked.`;
    case EVENTS.kswapd: return `Only ${count(first.free)} frames were free: kswapd woke up to make room${number > 1 ? `, ${count(number)} times` : ""}.`;
    case EVENTS.slotFreed: return `${sums.count === 1 ? "A slot" : `${count(sums.count)} slots`} of ${area} ${were(sums.count)} not needed any more.`;
    case EVENTS.outOfMemory: return `Memory and swap were full: process ${first.pid} was killed.`;
    case EVENTS.swapOn: return `${area} is a swap area from now on.`;
    case EVENTS.swapOff: return `${area} is no swap area any more: its pages came back first.`;
    case EVENTS.taskStart: return number === 1 ? `${tape.taskName(first.other)} began.` : `${count(number)} tasks began.`;
    case EVENTS.taskEnd: return number === 1 ? `${who} ended; its frames and slots are free.` : `${count(number)} tasks ended.`;
    case EVENTS.cgroupLimit: return `cgroup ${first.cgroup} was at its limit${number > 1 ? ` ${count(number)} times` : ""}: its own pages had to go.`;
    default: return "";
  }
}

function tellFaults(group, who, number) {
  switch (group) {
    case "new": return `${who} touched ${number === 1 ? "a new page: it" : `${count(number)} new pages: each`} got a frame of zeros.`;
    case "read": return `${who} needed ${pages(number)} that ${were(number)} in swap, and waited for ${number === 1 ? "it" : "each"}.`;
    case "cached": return `${who} touched ${pages(number)} on the way to swap, or read ahead: found in memory.`;
    default: return `${who} touched ${pages(number)} of files, shared or to be copied.`;
  }
}

/** One event as a line, for those who unfold a sentence or ask for a page's life. */
function tellEvent(event, tape) {
  const area = tape.areaName(event.area);
  const place = `${area} slot ${event.slot}`;
  const who = tape.taskName(event.thread);
  switch (event.kind) {
    case EVENTS.fault: return `${who} touched ${address(event.page)}: ${FAULT_SERVICES[event.service]?.name}`;
    case EVENTS.reclaim: return `${who}: ${event.scanned} looked at, ${event.freed} went`;
    case EVENTS.pageOut: return `out: frame ${event.frame} → ${place}`;
    case EVENTS.pageIn: return `in: ${place} → frame ${event.frame}`;
    case EVENTS.slotAllocated: return `${event.count > 1 ? `${event.count} slots from ` : ""}${place} taken`;
    case EVENTS.slotFreed: return `${event.count > 1 ? `${event.count} slots from ` : ""}${place} freed`;
    case EVENTS.submitted: return `${event.write ? "write" : "read"} of ${pages(event.folios)} handed to ${area}`;
    case EVENTS.completed: return `${event.write ? "write" : "read"} of ${pages(event.folios)} ${event.ok ? "done" : "failed"} by ${area}`;
    case EVENTS.stored: return `stored in ${PLACES[event.place]}: ${event.bytes} bytes`;
    case EVENTS.loaded: return `out of ${PLACES[event.place]}: ${event.bytes} bytes`;
    case EVENTS.kswapd: return `kswapd woken with ${event.free} frames free`;
    case EVENTS.taskStart: return `${tape.taskName(event.other)} began`;
    case EVENTS.taskEnd: return `${who} ended`;
    case EVENTS.cgroupLimit: return `cgroup ${event.cgroup} at its limit`;
    default: return "";
  }
}

class Story {
  constructor(list, tape) {
    this.list = list;
    this.tape = tape;
    this.entries = [];
    this.opened = new Set();
    this.isStale = true;
    list.addEventListener("toggle", (event) => {
      const entry = event.target.entry;
      if (entry) this.opened[event.target.open ? "add" : "delete"](entry);
    }, true);
  }

  clear() {
    this.entries = [];
    this.isStale = true;
  }

  add(events) {
    for (const event of events) {
      const key = sentenceOf(event);
      if (key === null) continue;
      const near = this.entries.slice(0, 8).find((entry) => entry.key === key && event.time - entry.last < NEAR && event.time - entry.first.time < LONGEST);
      if (near) this.extend(near, event);
      else this.begin(key, event);
    }
    this.isStale ||= events.length > 0;
  }

  begin(key, event) {
    const entry = { key, first: event, last: event.time, events: 0, sums: {}, samples: [] };
    this.extend(entry, event);
    this.entries.unshift(entry);
    this.entries.length = Math.min(this.entries.length, STORY_LONGEST);
  }

  extend(entry, event) {
    entry.last = event.time;
    entry.events++;
    for (const name of ["scanned", "freed", "folios", "bytes", "count"]) {
      if (event[name] !== undefined) entry.sums[name] = (entry.sums[name] ?? 0) + event[name];
    }
    if (entry.samples.length < STORY_SAMPLES) entry.samples.push(event);
  }

  draw() {
    if (!this.isStale) return;
    this.isStale = false;
    this.list.replaceChildren(...this.entries.slice(0, 40).map((entry) => this.item(entry)));
  }

  item(entry) {
    const time = element("time", "", seconds(entry.first.time));
    const sentence = element("span", "", tell(entry, this.tape));
    if (entry.events === 1) return element("li", `story-${entry.first.kind}`, time, sentence);
    const summary = element("summary", "", time, sentence);
    const details = element("details", "", summary);
    details.entry = entry;
    if (this.opened.has(entry)) {
      details.open = true;
      details.append(this.samples(entry));
    } else {
      details.addEventListener("toggle", () => details.open && details.append(this.samples(entry)), { once: true });
    }
    return element("li", `story-${entry.first.kind}`, details);
  }

  samples(entry) {
    const lines = entry.samples.map((event) => element("li", "", element("time", "", seconds(event.time)), tellEvent(event, this.tape)));
    if (entry.events > lines.length) lines.push(element("li", "", `and ${count(entry.events - lines.length)} more`));
    return element("ol", "samples", ...lines);
  }
}
