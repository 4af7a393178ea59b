// zram and zswap: how full, how dense, and how small the pages became that went in lately.

/** Upper ends of the size classes that are drawn, in bytes; a page that is not smaller than the last stays as it is. */
const SIZE_CLASSES = [256, 512, 1024, 1536, 2048, 2560, 3072, 3584, 4096];
const SIZES_REMEMBERED = 4000;

class Compressed {
  constructor(place) {
    this.place = place;
    this.sizes = [[], []];
  }

  clear() {
    this.sizes = [[], []];
  }

  add(events) {
    for (const event of events) {
      if (event.kind !== EVENTS.stored) continue;
      const sizes = this.sizes[event.place];
      sizes.push(event.bytes);
      if (sizes.length > 2 * SIZES_REMEMBERED) sizes.splice(0, SIZES_REMEMBERED);
    }
  }

  draw(facts) {
    const shown = (facts.zram ?? []).map((device) => this.store(device.name, device, this.sizes[0]));
    if (facts.zswap) shown.push(this.store("zswap", facts.zswap, this.sizes[1]));
    this.place.replaceChildren(...shown);
    this.place.hidden = shown.length === 0;
  }

  store(name, store, sizes) {
    const pool = store.pool_frames * 4096;
    if (pool === 0) return element("div", "store empty", element("h3", "", `${name} is empty`));
    const ratio = `${(store.original / pool).toFixed(1)} pages a frame`;
    const figures = `holds ${mebibytes(store.original / 4096)} MiB`;
    return element(
      "div", "store",
      element("h3", "", name, " ", element("b", "", ratio), " ", element("small", "", figures)),
      bar("density", store.compressed / pool, `${percent(store.compressed, pool)} of ${mebibytes(store.pool_frames)} MiB in use`),
      this.classes(sizes),
    );
  }

  /** A column for each size class, as high as the part of the pages that fell into it. */
  classes(sizes) {
    const counts = SIZE_CLASSES.map(() => 0);
    for (const size of sizes) counts[Math.max(0, SIZE_CLASSES.findIndex((end) => size <= end))]++;
    const most = Math.max(1, ...counts);
    const columns = SIZE_CLASSES.map((end, index) => {
      const column = element("i");
      column.style.height = `${Math.round(100 * counts[index] / most)}%`;
      const shown = element("span", "class", column);
      shown.title = `${count(counts[index])} of the last ${count(sizes.length)} pages: up to ${end} bytes`;
      return shown;
    });
    return element("div", "classes", element("small", "", "256 B"), ...columns, element("small", "", "4 KiB"));
  }
}

/** A bar that is filled in part, with words beside it. */
function bar(kind, part, words) {
  const fill = element("i");
  fill.style.width = `${Math.round(100 * Math.max(0, Math.min(1, part)))}%`;
  return element("div", `bar ${kind}`, element("span", "", fill), element("small", "", words));
}
