// A figure of the book: a recording in a frame of a chapter. It has fewer panels, shows what the machine said meanwhile, and stands still
// until it is played.

/** How long a figure plays at least, in seconds. */
const FIGURE_PLAYS = 12;

const PROMPT = "quire:~# ";

class Figure {
  constructor({ slots }) {
    this.slots = slots;
    this.isFresh = true;
    this.shown = "";
    // The chapter has the theme of the book: it answers with that, and tells of another one.
    parent.postMessage("which theme?", "*");
  }

  /** Where it stands until it is played: when swap was fullest. */
  static stillOf(points) {
    const used = points.map((point) => point.areas.reduce((sum, area) => sum + area.used, 0));
    const most = Math.max(...used);
    return most > 0 ? used.indexOf(most) : points.length >> 1;
  }

  /** How much slower than the machine it is played. */
  static factorOf(points) {
    const length = (points.at(-1).time - points[0].time) / 1e6;
    return FACTORS.find((factor) => factor * length >= FIGURE_PLAYS) ?? FACTORS.at(-1);
  }

  /** What the shell was told and what was printed so far. */
  draw(said) {
    if (said === this.shown) return;
    this.shown = said;
    const place = byId("said");
    const lines = said.split("\n").map((line) => element("span", line.startsWith(PROMPT) ? "typed" : "", `${line}\n`));
    place.replaceChildren(...lines);
    place.parentElement.hidden = false;
    place.scrollTop = place.scrollHeight;
  }
}
