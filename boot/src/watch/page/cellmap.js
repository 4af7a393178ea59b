// A map of cells on a canvas: memory, or a swap area.
//
// As many cells as there is room for, each at least two pixels wide; with more, a cell stands for several neighbours and has the kind that
// most of them have. Zoomed in, the map is longer than the canvas and scrolls.

/** Widths and heights, the smallest first: a little wider than high, where that fills the canvas better. */
const CELL_SIZES = [2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14, 16, 20, 24, 28, 32].flatMap(
  (height) => [0, 1, 2].filter((more) => more <= height / 2).map((more) => [height + more, height]),
).sort(([width, height], [otherWidth, otherHeight]) => width * height - otherWidth * otherHeight);

/** A canvas that gets another size is drawn anew. */
const sizes = new ResizeObserver(() => dispatchEvent(new Event("resize")));

/** What is shown is not what is to be seen any more. */
function askForFrame() {
  dispatchEvent(new Event("stale"));
}

class CellMap {
  /** `onPick(index)` is called for a cell that is clicked. */
  constructor(canvas, kinds, onPick) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d", { alpha: false });
    this.kinds = kinds;
    this.count = 0;
    this.kindOf = () => 0;
    this.glow = new Uint8Array(0);
    this.zoom = 0;
    this.top = 0;
    this.cursor = -1;
    this.marks = [];
    this.emphasised = null;
    canvas.addEventListener("click", (event) => this.pick(event, onPick));
    canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    canvas.addEventListener("pointermove", (event) => this.hover(event));
    canvas.addEventListener("pointerleave", () => { this.canvas.title = ""; });
    this.describe = (index) => String(index);
    sizes.observe(canvas);
  }

  /** What is shown from now on. */
  setCells(count, kindOf) {
    this.kindOf = kindOf;
    if (count !== this.count) {
      this.count = count;
      this.glow = new Uint8Array(count);
      this.layOut();
    }
  }

  /** Cells that have changed shine for a while. */
  light(indices) {
    for (const index of indices) if (index < this.count) this.glow[index] = GLOW_STEPS - 1;
  }

  /** The canvas gets the size of its place; cells the size and number with which they fill it. */
  layOut() {
    const scale = window.devicePixelRatio || 1;
    const box = this.canvas.getBoundingClientRect();
    const width = Math.max(16, Math.floor(box.width * scale));
    const height = Math.max(16, Math.floor(box.height * scale));
    if (this.canvas.width !== width || this.canvas.height !== height) {
      this.canvas.width = width;
      this.canvas.height = height;
    }
    let [size, group] = this.fit(width, height);
    for (let step = 0; step < this.zoom; step++) {
      if (group > 1) group /= 2;
      else size = CELL_SIZES.find((other) => other[1] > size[1] && other[0] === other[1]) ?? size;
    }
    [this.cellWidth, this.cellHeight] = size;
    this.group = group;
    this.columns = Math.max(1, Math.floor(width / this.cellWidth));
    this.rows = Math.ceil(Math.ceil(this.count / group) / this.columns);
    this.visibleRows = Math.max(1, Math.floor(height / this.cellHeight));
    this.top = Math.max(0, Math.min(this.top, this.rows - this.visibleRows));
    this.image = this.context.createImageData(width, height);
    this.pixels = new Uint32Array(this.image.data.buffer);
    this.tiles = null;
  }

  fit(width, height) {
    for (let group = 1; ; group *= 2) {
      const cells = Math.max(1, Math.ceil(this.count / group));
      const size = CELL_SIZES.findLast(([wide, high]) => Math.floor(width / wide) * Math.floor(height / high) >= cells);
      if (size) return [size, group];
    }
  }

  zoomBy(steps, around = this.cursor) {
    const zoom = Math.max(0, Math.min(14, this.zoom + steps));
    if (zoom === this.zoom) return;
    const focus = around >= 0 ? around : this.top * this.columns * this.group;
    this.zoom = zoom;
    this.layOut();
    this.reveal(focus);
  }

  /** Scrolls so that the cell can be seen. */
  reveal(index) {
    const row = Math.floor(index / this.group / this.columns);
    if (row < this.top || row >= this.top + this.visibleRows) {
      this.top = Math.max(0, Math.min(row - (this.visibleRows >> 1), this.rows - this.visibleRows));
    }
  }

  scrollBy(rows) {
    this.top = Math.max(0, Math.min(this.top + rows, this.rows - this.visibleRows));
  }

  /** The cell under a pointer; -1 for none. */
  at(event) {
    const box = this.canvas.getBoundingClientRect();
    const x = Math.floor((event.clientX - box.left) * this.canvas.width / box.width / this.cellWidth);
    const y = Math.floor((event.clientY - box.top) * this.canvas.height / box.height / this.cellHeight) + this.top;
    const index = (y * this.columns + x) * this.group;
    return x < this.columns && index < this.count ? index : -1;
  }

  pick(event, onPick) {
    const index = this.at(event);
    if (index < 0) return;
    this.cursor = index;
    onPick(index);
    askForFrame();
  }

  wheel(event) {
    // Over a figure a wheel moves the chapter.
    if (document.body.classList.contains("in-book") && !event.ctrlKey && !event.shiftKey) return;
    event.preventDefault();
    if (event.ctrlKey || this.rows <= this.visibleRows || event.shiftKey) this.zoomBy(event.deltaY < 0 ? 1 : -1, this.at(event));
    else this.scrollBy(Math.sign(event.deltaY) * 3);
    askForFrame();
  }

  hover(event) {
    const index = this.at(event);
    this.canvas.title = index < 0 ? "" : this.describe(index);
  }

  moveCursor(columns, rows) {
    const step = (columns + rows * this.columns) * this.group;
    this.cursor = Math.max(0, Math.min(this.count - 1, (this.cursor < 0 ? 0 : this.cursor) + step));
    this.reveal(this.cursor);
  }

  /** The kind of a group of cells, and how brightly it shines. */
  groupKind(first) {
    if (this.group === 1) return this.kindOf(first);
    const counts = this.counts ??= new Uint32Array(32);
    counts.fill(0);
    let most = 0;
    const end = Math.min(first + this.group, this.count);
    for (let index = first; index < end; index++) {
      const kind = this.kindOf(index);
      if (++counts[kind] > counts[most]) most = kind;
    }
    return counts[most] === 0 ? this.kindOf(first) : most;
  }

  groupGlow(first) {
    let glow = 0;
    const end = Math.min(first + this.group, this.count);
    for (let index = first; index < end; index++) {
      if (this.glow[index] > glow) glow = this.glow[index];
    }
    return glow;
  }

  /** Draws everything. Returns whether something still shines. */
  draw(isDark) {
    if (!this.tiles || this.tilesDark !== isDark || this.tilesFor !== this.emphasised) {
      this.tiles = makeTiles(this.kinds, this.cellWidth, this.cellHeight, isDark, this.emphasised);
      this.tilesDark = isDark;
      this.tilesFor = this.emphasised;
    }
    const { cellWidth, cellHeight, columns, pixels, tiles } = this;
    const width = this.canvas.width;
    pixels.fill(tiles.background);
    let isShining = false;
    const last = Math.min(this.rows, this.top + this.visibleRows);
    for (let row = this.top; row < last; row++) {
      for (let column = 0; column < columns; column++) {
        const first = (row * columns + column) * this.group;
        if (first >= this.count) break;
        const glow = this.groupGlow(first);
        isShining ||= glow > 0;
        const tile = tiles.pixels[this.groupKind(first) * GLOW_STEPS + glow];
        let to = (row - this.top) * cellHeight * width + column * cellWidth;
        for (let y = 0, from = 0; y < cellHeight; y++, to += width, from += cellWidth) {
          for (let x = 0; x < cellWidth; x++) pixels[to + x] = tile[from + x];
        }
      }
    }
    this.context.putImageData(this.image, 0, 0);
    if (this.cursor >= 0 && this.cursor < this.count) this.drawMark(this.cursor, isDark ? "#ffffff" : "#000000", false);
    for (const index of this.marks) this.drawMark(index, isDark ? "#ffffff" : "#000000", true);
    for (let index = 0; index < this.glow.length; index++) if (this.glow[index] > 0) this.glow[index]--;
    return isShining;
  }

  /** A frame around a cell; around one that is followed, a target that is seen from afar. */
  drawMark(index, colour, isTarget) {
    const cell = Math.floor(index / this.group);
    const row = Math.floor(cell / this.columns) - this.top;
    if (row < 0 || row >= this.visibleRows) return;
    const { context, cellWidth, cellHeight } = this;
    const x = (cell % this.columns) * cellWidth;
    const y = row * cellHeight;
    const scale = window.devicePixelRatio || 1;
    context.lineWidth = (isTarget ? 3 : 2) * scale;
    context.strokeStyle = colour;
    context.strokeRect(x - 1.5, y - 1.5, cellWidth + 2, cellHeight + 2);
    if (!isTarget) return;
    context.beginPath();
    context.arc(x + cellWidth / 2, y + cellHeight / 2, 13 * scale, 0, 2 * Math.PI);
    context.stroke();
    context.lineWidth = scale;
    context.strokeStyle = colour === "#ffffff" ? "#000000" : "#ffffff";
    context.beginPath();
    context.arc(x + cellWidth / 2, y + cellHeight / 2, 15 * scale, 0, 2 * Math.PI);
    context.stroke();
  }
}
