// The machine at one moment: what boot/src/watch/message.rs sends, put together again.

/** The frames or the slots: a column for each thing that is known of a cell. */
class Cells {
  constructor(count) {
    this.count = count;
    this.kind = new Uint8Array(count);
    this.zero = new Uint8Array(count);
    this.thread = new Uint32Array(count);
    this.page = new Float64Array(count);
    this.sharers = new Uint8Array(count);
    this.list = new Uint8Array(count);
    this.bits = new Uint16Array(count);
    this.cgroup = new Uint8Array(count);
    this.area = new Uint8Array(count);
    // Of a frame: its slot and 1, 0 for none. Of a slot: its frame and 1.
    this.other = new Uint32Array(count);
    this.changed = [];
  }

  copy() {
    const copy = new Cells(0);
    copy.count = this.count;
    for (const name of Cells.COLUMNS) copy[name] = this[name].slice();
    return copy;
  }

  clear(index) {
    for (const name of Cells.COLUMNS) this[name][index] = 0;
  }

  /** How many cells there are of each kind. */
  countByKind(kinds, kindOf = (index) => this.kind[index]) {
    const counts = new Array(kinds).fill(0);
    for (let index = 0; index < this.count; index++) counts[kindOf(index)]++;
    return counts;
  }

  /** Where the page of a task is; -1 if it is not here. */
  find(thread, page) {
    for (let index = 0; index < this.count; index++) {
      if (this.thread[index] === thread && this.page[index] === page) return index;
    }
    return -1;
  }
}
Cells.COLUMNS = ["kind", "zero", "thread", "page", "sharers", "list", "bits", "cgroup", "area", "other"];

class State {
  constructor() {
    this.facts = null;
    this.frames = new Cells(0);
    this.areas = new Map();
  }

  copy() {
    const copy = new State();
    copy.facts = this.facts;
    copy.frames = this.frames.copy();
    copy.areas = new Map([...this.areas].map(([index, cells]) => [index, cells.copy()]));
    return copy;
  }

  /** Takes a message in: a difference to this state, or a whole one. */
  apply(bytes) {
    const reader = new ByteReader(bytes);
    const isWhole = reader.byte() === 1;
    const facts = JSON.parse(reader.text());
    this.facts = isWhole ? facts : { ...this.facts, ...facts, counters: { ...this.facts.counters, ...facts.counters } };
    this.readFrames(reader.part(), isWhole);
    this.readAreas(reader.part());
    return readEvents(reader.part());
  }

  readFrames(reader, isWhole) {
    const count = reader.number();
    if (isWhole || count !== this.frames.count) this.frames = new Cells(count);
    readRuns(reader, this.frames, readFrame);
  }

  readAreas(reader) {
    const present = new Set();
    for (let left = reader.number(); left > 0; left--) {
      const index = reader.number();
      const isAnew = reader.byte() === 1;
      const count = reader.number();
      if (isAnew || this.areas.get(index)?.count !== count) this.areas.set(index, new Cells(count));
      readRuns(reader.part(), this.areas.get(index), readSlot);
      present.add(index);
    }
    for (const index of this.areas.keys()) if (!present.has(index)) this.areas.delete(index);
  }

  /** The kind under which a slot is shown. */
  slotKind(cells, index) {
    if (cells.zero[index]) return SLOT_ZERO;
    return cells.kind[index] === 1 && cells.sharers[index] > 1 ? SLOT_SHARED : cells.kind[index];
  }
}

/** Changed cells come as runs: how many to skip, how many follow. */
function readRuns(reader, cells, readCell) {
  const before = { page: 0, other: 0 };
  cells.changed = [];
  let index = 0;
  while (!reader.isAtEnd) {
    index += reader.number();
    for (let left = reader.number(); left > 0; left--, index++) {
      if (index >= cells.count) throw new RangeError("a cell beyond the last");
      cells.clear(index);
      readCell(reader, cells, index, before);
      cells.changed.push(index);
    }
  }
}

function readFrame(reader, cells, index, before) {
  const head = reader.byte();
  cells.kind[index] = head & 0x0f;
  if (head & 0x10) readOwner(reader, cells, index, before);
  if (head & 0x20) cells.list[index] = reader.byte();
  if (head & 0x40) {
    cells.area[index] = reader.byte();
    before.other += reader.signed();
    cells.other[index] = before.other + 1;
  }
  if (head & 0x80) {
    cells.bits[index] = reader.number();
    cells.cgroup[index] = reader.byte();
  }
}

function readSlot(reader, cells, index, before) {
  const head = reader.byte();
  cells.kind[index] = head & 0x07;
  cells.zero[index] = head >> 3 & 1;
  if (head & 0x10) readOwner(reader, cells, index, before);
  cells.sharers[index] = head & 0x20 ? reader.byte() : 1;
  if (head & 0x40) {
    before.other += reader.signed();
    cells.other[index] = before.other + 1;
  }
  if (head & 0x80) cells.cgroup[index] = reader.byte();
}

/** Whose page it is: the task, the number of the page there, and how many page tables have it. */
function readOwner(reader, cells, index, before) {
  const thread = reader.number();
  cells.thread[index] = Math.floor(thread / 2);
  if (thread % 2 === 1) cells.sharers[index] = reader.byte();
  before.page += reader.signed();
  cells.page[index] = before.page;
}

/** The events of a message, without putting a state together. */
function eventsOf(bytes) {
  const reader = new ByteReader(bytes);
  reader.byte();
  reader.part();
  reader.part();
  reader.part();
  return readEvents(reader.part());
}

/** The small facts of a message alone. */
function factsOf(bytes) {
  const reader = new ByteReader(bytes);
  reader.byte();
  return JSON.parse(reader.text());
}

function readEvents(reader) {
  const events = [];
  const last = { time: 0, page: 0, frame: 0, slot: 0 };
  while (!reader.isAtEnd) {
    const kind = reader.byte();
    last.time += reader.signed();
    const event = { kind, time: last.time, thread: reader.number() };
    READ_EVENT[kind]?.(event, reader, last);
    events.push(event);
  }
  return events;
}

function readMove(event, reader, last) {
  event.area = reader.byte();
  event.frame = last.frame += reader.signed();
  event.slot = last.slot += reader.signed();
}

function readSlots(event, reader, last) {
  event.area = reader.byte();
  event.slot = last.slot += reader.signed();
  event.count = reader.number();
}

function readBatch(event, reader) {
  event.area = reader.byte();
  const bits = reader.byte();
  event.write = (bits & 1) !== 0;
  event.ok = (bits & 2) !== 0;
  event.folios = reader.number();
}

function readCompressed(event, reader) {
  event.place = reader.byte();
  event.bytes = reader.number();
}

/** What follows an event's kind, time and thread. */
const READ_EVENT = {
  [EVENTS.fault](event, reader, last) {
    event.service = reader.byte();
    event.page = last.page += reader.signed();
  },
  [EVENTS.reclaim](event, reader) {
    event.by = reader.byte();
    event.scanned = reader.number();
    event.freed = reader.number();
  },
  [EVENTS.pageOut]: readMove,
  [EVENTS.pageIn]: readMove,
  [EVENTS.slotAllocated]: readSlots,
  [EVENTS.slotFreed]: readSlots,
  [EVENTS.submitted]: readBatch,
  [EVENTS.completed]: readBatch,
  [EVENTS.stored]: readCompressed,
  [EVENTS.loaded]: readCompressed,
  // The number of pages and 1; 0 stands for all.
  [EVENTS.flush](event, reader) { event.pages = reader.number(); },
  [EVENTS.kswapd](event, reader) { event.free = reader.number(); },
  [EVENTS.outOfMemory](event, reader) { event.pid = reader.number(); },
  [EVENTS.swapOn](event, reader) { event.area = reader.byte(); },
  [EVENTS.swapOff](event, reader) { event.area = reader.byte(); },
  [EVENTS.taskStart](event, reader) { event.other = reader.number(); },
  [EVENTS.taskSwitch](event, reader) { event.other = reader.number(); },
  [EVENTS.cgroupLimit](event, reader) { event.cgroup = reader.number(); },
};
