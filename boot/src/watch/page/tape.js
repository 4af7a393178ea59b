// All messages of a run in their order, and the way to any moment of it.
//
// A state is kept now and then, so that going back means to apply a few messages and not all.

class Tape {
  constructor() {
    this.messages = [];
    this.points = [];
    this.kept = [];
    this.state = new State();
    this.position = -1;
    // By their numbers; what has ended stays, since events name it.
    this.tasks = new Map();
    this.areaNames = new Map();
  }

  get length() {
    return this.messages.length;
  }

  get isAtEnd() {
    return this.position === this.length - 1;
  }

  /** A message that has come; the state stays where it is. */
  add(bytes) {
    const before = this.points.at(-1);
    const facts = factsOf(bytes);
    this.messages.push(bytes);
    const counters = { ...before?.counters, ...facts.counters };
    const sum = (now, until) => now.map((value, index) => value + (until?.[index] ?? 0));
    this.points.push({
      time: facts.time,
      memory: facts.memory ?? before?.memory,
      counters,
      faults: sum(facts.faults, before?.faults),
      reclaimed: sum(facts.reclaimed, before?.reclaimed),
      areas: facts.areas ?? before?.areas ?? [],
      said: (before?.said ?? "") + (facts.said ?? ""),
      zram: facts.zram ?? before?.zram,
      zswap: facts.zswap === undefined ? before?.zswap : facts.zswap,
    });
    for (const task of facts.tasks ?? []) this.tasks.set(task.thread, task);
    for (const area of facts.areas ?? []) this.areaNames.set(area.index, area.name);
  }

  /** What a thread is called, also after its end. */
  taskName(thread) {
    // At this moment, or ever: a number may be another's later.
    const task = this.state.facts?.tasks?.find((other) => other.thread === thread) ?? this.tasks.get(thread);
    if (!task) return thread === 0 ? "the kernel" : `task ${thread}`;
    return task.pid === null ? task.name : `${task.name} (${task.pid})`;
  }

  areaName(index) {
    const area = this.state.facts?.areas?.find((other) => other.index === index);
    return area?.name ?? this.areaNames.get(index) ?? `area ${index}`;
  }

  /** Forgets the oldest messages of a long run, up to one behind which there is a state to go on from. */
  trim(longest) {
    if (this.length <= longest) return;
    const cut = this.kept.findIndex((state, index) => state && index >= longest / 4);
    if (cut < 1 || cut > this.position) return;
    for (const list of [this.messages, this.points, this.kept]) list.splice(0, cut);
    this.position -= cut;
  }

  /** Goes one message on. Returns its events. */
  step() {
    const events = this.state.apply(this.messages[++this.position]);
    const gap = this.state.frames.count > 65536 ? 200 : 50;
    if (this.position % gap === 0 && !this.kept[this.position]) this.kept[this.position] = this.state.copy();
    return events;
  }

  /** Goes to a message, forward or back. Returns the events of that one. */
  seek(position) {
    const wanted = Math.max(0, Math.min(position, this.length - 1));
    let start = wanted;
    while (start > 0 && !this.kept[start]) start--;
    if (wanted < this.position || start > this.position) {
      this.state = this.kept[start]?.copy() ?? new State();
      this.position = this.kept[start] ? start : -1;
    }
    let events = this.position === wanted ? eventsOf(this.messages[wanted]) : [];
    while (this.position < wanted) events = this.step();
    return events;
  }

  /** Every event from message `from` up to the position, with the message that it is in. */
  *events(from = 0) {
    for (let index = from; index <= this.position; index++) {
      for (const event of eventsOf(this.messages[index])) yield [event, index];
    }
  }
}
