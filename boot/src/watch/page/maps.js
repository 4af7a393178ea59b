// The maps: memory with its legend and its gauge, and each swap area with its own.

class Maps {
  /** Of an area that is named in `longest`, no more slots than that are shown. */
  constructor(tape, detail, longest) {
    this.tape = tape;
    this.detail = detail;
    this.longest = longest;
    this.memory = new CellMap(byId("memory-map"), FRAME_KINDS, (frame) => detail.choose({ frame }));
    this.memory.describe = (frame) => describeFrame(tape, frame);
    this.memory.canvas.addEventListener("focus", () => { this.focused = this.memory; });
    this.areas = new Map();
    this.focused = this.memory;
    this.slotSwatches = SLOT_KINDS.filter((kind) => kind.word !== "owned").map((kind) => {
      const swatch = element("canvas");
      const shown = element("span", "", swatch, kind.name);
      shown.title = kind.says;
      byId("slot-legend").append(shown);
      return { kind, swatch };
    });
    this.legend = new Legend(byId("legend"), FRAME_KINDS, (kind) => {
      this.memory.emphasised = kind;
      askForFrame();
    });
  }

  /** The map that keys move in. */
  get active() {
    return this.focused;
  }

  all() {
    return [this.memory, ...[...this.areas.values()].map((area) => area.map)];
  }

  layOut() {
    for (const map of this.all()) map.layOut();
  }

  focusNext() {
    const maps = this.all();
    this.focused = maps[(maps.indexOf(this.focused) + 1) % maps.length];
    for (const map of maps) map.canvas.classList.toggle("focused", map === this.focused);
    this.focused.canvas.focus();
  }

  /** Takes the tape's state; cells that have changed shine. */
  update(isStep) {
    const { state } = this.tape;
    this.memory.setCells(state.frames.count, (frame) => state.frames.kind[frame]);
    this.fitAreas(state);
    for (const [index, area] of this.areas) {
      const cells = state.areas.get(index);
      area.map.setCells(Math.min(cells.count, this.longest[index] ?? cells.count), (slot) => state.slotKind(cells, slot));
      if (isStep) area.map.light(cells.changed);
    }
    if (isStep) this.memory.light(state.frames.changed);
    this.mark();
  }

  /** What is chosen and what is followed. */
  mark() {
    const { chosen, followed } = this.detail;
    const from = chosen?.from ?? (chosen?.frame === undefined ? chosen : null);
    this.memory.cursor = chosen?.frame ?? (this.focused === this.memory ? this.memory.cursor : -1);
    this.memory.marks = followed && chosen?.frame !== undefined ? [chosen.frame] : [];
    for (const [index, area] of this.areas) {
      const slot = from?.area === index ? from.slot : -1;
      if (slot >= 0) area.map.cursor = slot;
      area.map.marks = followed && slot >= 0 ? [slot] : [];
    }
    if (followed && chosen?.frame !== undefined) this.memory.reveal(chosen.frame);
    if (followed && from) this.areas.get(from.area)?.map.reveal(from.slot);
  }

  fitAreas(state) {
    const wanted = [...state.areas.keys()].join();
    if (wanted === this.shownAreas) return;
    this.shownAreas = wanted;
    this.areas.clear();
    const panels = [...state.areas.keys()].map((index) => {
      const canvas = element("canvas", "map");
      canvas.tabIndex = 0;
      const heading = element("h3");
      const map = new CellMap(canvas, SLOT_KINDS, (slot) => this.detail.choose({ area: index, slot }));
      map.describe = (slot) => `slot ${slot}: ${SLOT_KINDS[this.tape.state.slotKind(this.tape.state.areas.get(index), slot)].name}`;
      canvas.addEventListener("focus", () => { this.focused = map; });
      this.areas.set(index, { map, heading });
      return element("div", "area", heading, canvas);
    });
    byId("areas").replaceChildren(...panels);
    byId("no-areas").hidden = panels.length > 0;
    if (!this.all().includes(this.focused)) this.focused = this.memory;
    this.layOut();
  }

  /** Figures beside the maps. */
  drawFigures(facts, isDark) {
    const { frames } = this.tape.state;
    this.legend.draw(frames.countByKind(FRAME_KINDS.length), isDark);
    drawGauge(facts.memory, frames);
    if (this.slotsDark !== isDark) {
      this.slotsDark = isDark;
      for (const { kind, swatch } of this.slotSwatches) drawSwatch(swatch, kind, isDark);
    }
    for (const facts of this.tape.state.facts.areas ?? []) {
      const area = this.areas.get(facts.index);
      if (!area) continue;
      area.heading.replaceChildren(
        element("span", "", facts.name), element("b", "", ` ${count(facts.used)}`),
        element("small", "", ` of ${count(facts.usable)}; priority ${facts.priority}`),
      );
      area.heading.title = area.heading.textContent;
      area.heading.dataset.used = facts.used;
      area.heading.dataset.usable = facts.usable;
    }
  }

  draw(isDark) {
    return this.all().map((map) => map.draw(isDark)).some((isShining) => isShining);
  }
}

function describeFrame(tape, frame) {
  const { frames } = tape.state;
  const owner = frames.thread[frame] > 0 ? `, ${tape.taskName(frames.thread[frame])} at ${address(frames.page[frame])}` : "";
  return `frame ${frame}: ${FRAME_KINDS[frames.kind[frame]].name}${owner}`;
}

/** The kinds with their counts; one that is pointed at, or chosen, stands out in the map. */
class Legend {
  constructor(place, kinds, onEmphasis) {
    this.kinds = kinds;
    this.chosen = null;
    this.rows = kinds.map((kind, index) => {
      const swatch = element("canvas");
      const figure = element("b", "", "0");
      const button = element("button", "kind", swatch, element("span", "", kind.name), figure);
      button.title = kind.says;
      button.dataset.kind = kind.word;
      button.addEventListener("pointerenter", () => onEmphasis(index));
      button.addEventListener("pointerleave", () => onEmphasis(this.chosen));
      button.addEventListener("click", () => {
        this.chosen = this.chosen === index ? null : index;
        this.rows.forEach((row, other) => row.button.setAttribute("aria-pressed", String(other === this.chosen)));
        onEmphasis(this.chosen);
      });
      return { button, swatch, figure };
    });
    place.append(...this.rows.map((row) => row.button));
  }

  draw(counts, isDark) {
    this.rows.forEach((row, index) => {
      setText(row.figure, count(counts[index]));
      row.figure.dataset.count = counts[index];
      if (row.isDark === isDark) return;
      row.isDark = isDark;
      drawSwatch(row.swatch, this.kinds[index], isDark);
    });
  }
}

/** Free frames as a bar up to twice the high watermark, with the watermarks as lines: near them is where things happen. */
function drawGauge(memory, frames) {
  if (!memory) return;
  const whole = Math.max(1, memory.high * 2.5);
  const part = (value) => `${Math.min(100, 100 * value / whole)}%`;
  byId("gauge-free").style.width = part(memory.free);
  byId("gauge").dataset.state = memory.free < memory.min ? "min" : memory.free < memory.low ? "low" : "well";
  for (const name of ["min", "low", "high"]) {
    const mark = byId(`gauge-${name}`);
    mark.style.left = part(memory[name]);
    setText(mark.firstElementChild, `${name} ${count(memory[name])}`);
  }
  setText(byId("free"), count(memory.free));
  setText(byId("free-words"), `of ${count(memory.managed)} frames are free`);
  byId("free").dataset.free = memory.free;
  byId("free").dataset.managed = memory.managed;
  byId("free").dataset.frames = frames.count;
}
