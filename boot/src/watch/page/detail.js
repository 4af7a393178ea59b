// One frame or slot: whose page, where, in which list, with which bits, and its life in events. And a page that is followed.

const LIFE_LONGEST = 60;

/** What a person has chosen: `{ frame }` or `{ area, slot }`. */
class Detail {
  constructor(panel, tape) {
    this.panel = panel;
    this.tape = tape;
    this.chosen = null;
    this.followed = null;
    this.journey = [];
  }

  choose(chosen) {
    this.chosen = chosen;
    this.life = null;
    this.draw();
  }

  close() {
    this.chosen = null;
    this.followed = null;
    this.journey = [];
    this.draw();
  }

  /** The cells of what is chosen, and which of them it is. */
  place(chosen = this.chosen) {
    const { state } = this.tape;
    const cells = chosen.frame === undefined ? state.areas.get(chosen.area) : state.frames;
    const index = chosen.frame ?? chosen.slot;
    return cells && index < cells.count ? [cells, index] : [null, 0];
  }

  /** Follows the page that is chosen, or no longer follows one. */
  toggleFollow() {
    if (this.followed) {
      this.followed = null;
      this.journey = [];
    } else if (this.chosen) {
      const [cells, index] = this.place();
      if (!cells || cells.thread[index] === 0) return;
      this.followed = { thread: cells.thread[index], page: cells.page[index] };
      this.journey = [];
      this.track();
    }
    this.draw();
  }

  /** Where the page that is followed is now: `chosen` goes with it. */
  track() {
    if (!this.followed) return;
    const now = this.locate(this.followed);
    const key = JSON.stringify(now);
    if (key === this.journey.at(-1)?.key) return;
    this.journey.push({ key, place: now, time: this.tape.state.facts.time });
    // Of one that is gone, what is in its last place belongs to another page: its own life stays.
    if (!now) return;
    this.chosen = now;
    this.life = null;
  }

  locate({ thread, page }) {
    const { state } = this.tape;
    const frame = state.frames.find(thread, page);
    if (frame >= 0) return { frame };
    for (const [area, cells] of state.areas) {
      const slot = cells.find(thread, page);
      // A page in the swap cache has a frame, that no page table knows.
      if (slot >= 0) return cells.other[slot] > 0 ? { frame: cells.other[slot] - 1, from: { area, slot } } : { area, slot };
    }
    return null;
  }

  draw() {
    document.body.classList.toggle("has-detail", this.chosen !== null);
    if (!this.chosen) return;
    const [cells, index] = this.place();
    if (!cells) return this.close();
    const isFrame = this.chosen.frame !== undefined;
    const title = isFrame ? `Frame ${index}` : `Slot ${index} of ${this.tape.areaName(this.chosen.area)}`;
    setText(byId("detail-title"), title);
    byId("detail-facts").replaceChildren(...(isFrame ? this.frameFacts(cells, index) : this.slotFacts(cells, index)).flatMap(
      ([name, value]) => [element("dt", "", name), element("dd", "", value)],
    ));
    const button = byId("follow");
    button.disabled = !this.followed && cells.thread[index] === 0;
    button.setAttribute("aria-pressed", String(this.followed !== null));
    setText(button, this.followed ? "Following: stop (w)" : "Follow this page (w)");
    this.drawJourney();
    this.life ??= this.lifeOf(cells, index, isFrame);
    byId("life").replaceChildren(...this.life.map((event) => element("li", "", element("time", "", seconds(event.time)), tellEvent(event, this.tape))));
    byId("no-life").hidden = this.life.length > 0;
  }

  drawJourney() {
    const stops = this.journey.slice(-6).map(({ place, time }) => {
      const where = !place ? "gone" : place.frame === undefined ? `slot ${place.slot}` : place.from ? `frame ${place.frame} (swap cache)` : `frame ${place.frame}`;
      return element("li", place?.frame === undefined ? "stop-slot" : "stop-frame", where, element("time", "", seconds(time)));
    });
    byId("journey").replaceChildren(...stops);
    byId("journey").hidden = stops.length === 0;
  }

  owner(cells, index) {
    if (cells.thread[index] === 0) return [];
    const others = cells.sharers[index] > 1 ? ` and ${cells.sharers[index] - 1} more` : "";
    return [["Owner", `${this.tape.taskName(cells.thread[index])}${others}`], ["Address", address(cells.page[index])]];
  }

  frameFacts(frames, index) {
    const kind = FRAME_KINDS[frames.kind[index]];
    const facts = [["What", `${kind.name}. ${kind.says}`], ["Physical", hex(index * 4096)], ...this.owner(frames, index)];
    const list = frames.list[index];
    if (list & 7) {
      const notes = [list & 8 && "taken out to be looked at", list & 16 && "fresh", list >> 5 & 3 && `mark ${list >> 5 & 3}`, list & 128 && (list & 7) !== 7 && "can be dropped"];
      facts.push(["LRU list", [(list & 7) === 7 ? "must stay" : `list ${list & 7}`, ...notes.filter(Boolean)].join(", ")]);
    }
    const bits = FOLIO_FLAGS.filter((_, bit) => frames.bits[index] >> bit & 1);
    if (bits.length > 0) facts.push(["Bits", bits.join(", ")]);
    if (frames.other[index] > 0) facts.push(["Slot", `${frames.other[index] - 1} of ${this.tape.areaName(frames.area[index])}`]);
    if (frames.cgroup[index] > 0) facts.push(["Charged to", `cgroup ${frames.cgroup[index]}`]);
    return facts;
  }

  slotFacts(slots, index) {
    const kind = SLOT_KINDS[this.tape.state.slotKind(slots, index)];
    const facts = [["What", `${kind.name}. ${kind.says}`], ...this.owner(slots, index)];
    if (slots.kind[index] !== SLOT_FREE) facts.push(["Page tables", `${slots.sharers[index]} hold it`]);
    if (slots.other[index] > 0) facts.push(["Frame", String(slots.other[index] - 1)]);
    if (slots.cgroup[index] > 0) facts.push(["Charged to", `cgroup ${slots.cgroup[index]}`]);
    return facts;
  }

  /**
   * The events of a page, backwards from where it is now: from frame to slot to frame, until it was new. Of a cell that has no owner, all that
   * happened there.
   */
  lifeOf(cells, index, isFrame) {
    const here = isFrame ? { frame: index } : { area: this.chosen.area, slot: index };
    const thread = cells.thread[index];
    const page = cells.page[index];
    if (isFrame && cells.other[index] > 0) Object.assign(here, { area: cells.area[index], slot: cells.other[index] - 1 });
    if (!isFrame && cells.other[index] > 0) here.frame = cells.other[index] - 1;
    const life = [];
    for (let message = this.tape.position; message >= 0 && life.length < LIFE_LONGEST; message--) {
      for (const event of eventsOf(this.tape.messages[message]).toReversed()) {
        if (!concerns(event, here, thread, page)) continue;
        life.push(event);
        if (thread === 0) continue;
        if (event.kind === EVENTS.pageIn) Object.assign(here, { area: event.area, slot: event.slot, frame: undefined });
        if (event.kind === EVENTS.pageOut) Object.assign(here, { frame: event.frame, area: undefined, slot: undefined });
        const isBirth = event.kind === EVENTS.fault && FAULT_SERVICES[event.service]?.group === "new";
        if (isBirth) return life;
      }
    }
    return life;
  }
}

function concerns(event, here, thread, page) {
  switch (event.kind) {
    case EVENTS.fault: return thread !== 0 && event.page === page && event.thread === thread;
    case EVENTS.pageIn: case EVENTS.pageOut: return event.frame === here.frame || isSlot(event, here, 1);
    case EVENTS.slotAllocated: case EVENTS.slotFreed: return isSlot(event, here, event.count);
    default: return false;
  }
}

function isSlot(event, here, slots) {
  return here.slot !== undefined && event.area === here.area && here.slot >= event.slot && here.slot < event.slot + slots;
}
