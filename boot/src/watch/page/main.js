// The page as a whole: what comes, what is drawn when, and what a person can do.

/** The factors of "slower", in turn. */
const FACTORS = [1, 2, 5, 20, 100];

/** The least time from one drawing to the next, in milliseconds: of figures, and of maps on which something shines. */
const FIGURES_EVERY = 90;
const MAPS_EVERY = 60;

class Page {
  constructor() {
    this.tape = new Tape();
    this.detail = new Detail(byId("detail"), this.tape);
    const look = byId("figure");
    this.figure = look && new Figure(JSON.parse(look.textContent));
    this.maps = new Maps(this.tape, this.detail, this.figure?.slots ?? {});
    this.curves = new Curves(byId("curves"));
    this.story = new Story(byId("story"), this.tape);
    this.compressed = new Compressed(byId("compressed"));
    this.tables = new Tables(byId("processes"), byId("cgroups"));
    this.isPlaying = true;
    this.factor = 1;
    this.machine = "starting";
    this.live = null;
    this.figuresDrawn = 0;
    this.mapsDrawn = 0;
    this.isMapStale = false;
    this.isStale = true;
    this.playedUntil = 0;
    // What the address asks for, behind its #: at=SECONDS, frame=N, follow, theme=dark, panel=N, so that a slide can link to a moment.
    this.asked = new URLSearchParams(location.hash.slice(1));
    this.setTheme(this.asked.get("theme") ?? (matchMedia("(prefers-color-scheme: light)").matches ? "light" : "dark"));
    document.body.dataset.alone = this.asked.get("panel") ?? "";
  }

  get isStale() {
    return this.stale;
  }

  /** What is known is not shown yet. */
  set isStale(stale) {
    this.stale = stale;
    if (stale) this.wake();
  }

  /** Draws with the next frame of the screen. While nothing changes nothing is asked of the computer. */
  wake() {
    this.waking ??= requestAnimationFrame((now) => {
      this.waking = null;
      this.frame(now);
    });
  }

  get isDark() {
    return document.documentElement.dataset.theme === "dark";
  }

  async start() {
    this.listen();
    const recording = byId("recording");
    if (recording) await this.startRecorded(recording.textContent);
    else this.startLive();
  }

  startLive() {
    this.live = new LiveSource();
    document.body.classList.add("live");
    addEventListener("pagehide", () => this.live.leave());
    this.live.run((messages, isAnew) => this.arrive(messages, isAnew), (machine) => this.setMachine(machine));
  }

  async startRecorded(text) {
    document.body.classList.add("recorded");
    this.machine = "recorded";
    try {
      for (const message of await readRecording(text)) this.tape.add(message);
    } catch (error) {
      return this.say(`This recording cannot be read: ${error.message}`);
    }
    if (this.tape.length === 0) return this.say("This recording is empty: was the machine ended before its kernel started?");
    if (this.figure) return this.startFigure();
    const at = this.asked.get("at");
    this.isPlaying = at === null;
    this.goTo(at === null ? 0 : this.positionAt(Number(at) * 1e6));
    const frame = this.asked.get("frame");
    if (frame !== null) this.detail.choose({ frame: Number(frame) });
    if (this.asked.has("follow")) this.detail.toggleFollow();
  }

  startFigure() {
    const { points } = this.tape;
    timeOrigin = points[0].time;
    this.isPlaying = false;
    this.factor = Figure.factorOf(points);
    this.goTo(Figure.stillOf(points));
  }

  positionAt(time) {
    return Math.max(0, firstAfter(this.tape.points, time + 1) - 1);
  }

  arrive(messages, isAnew) {
    const wasAtEnd = this.tape.isAtEnd;
    // After a gap the whole state follows what is known; what is older than that is another machine's.
    if (isAnew && factsOf(messages[0]).time < (this.tape.points.at(-1)?.time ?? 0)) this.forget();
    for (const message of messages) this.tape.add(message);
    if (!wasAtEnd) return this.drawTimeline();
    while (!this.tape.isAtEnd) this.step();
    this.tape.trim(6000);
  }

  forget() {
    const { tape } = this;
    Object.assign(tape, { messages: [], points: [], kept: [], position: -1, state: new State() });
    this.story.clear();
    this.compressed.clear();
  }

  step() {
    const events = this.tape.step();
    this.story.add(events);
    this.compressed.add(events);
    this.detail.track();
    this.maps.update(true);
    this.isStale = true;
  }

  /** To another moment. The story is told anew from a little before it. */
  goTo(position) {
    if (this.tape.length === 0) return;
    const wanted = Math.max(0, Math.min(position, this.tape.length - 1));
    if (wanted === this.tape.position + 1) return this.step();
    this.tape.seek(wanted);
    this.story.clear();
    this.compressed.clear();
    for (let index = Math.max(0, wanted - 12); index <= wanted; index++) {
      const events = eventsOf(this.tape.messages[index]);
      this.story.add(events);
      this.compressed.add(events);
    }
    this.detail.life = null;
    this.detail.track();
    this.maps.update(false);
    this.isStale = true;
  }

  setMachine(machine) {
    if (this.machine === machine) return;
    this.machine = machine;
    this.isStale = true;
  }

  frame(now) {
    if (this.machine === "recorded") this.play(now);
    if (this.isStale && now - this.figuresDrawn > FIGURES_EVERY) {
      this.figuresDrawn = now;
      this.isStale = false;
      this.drawFigures();
      this.isMapStale = true;
    }
    // A map that neither changes nor shines needs not be drawn again.
    if (this.isMapStale && now - this.mapsDrawn > MAPS_EVERY) {
      this.mapsDrawn = now;
      this.isMapStale = this.tape.position >= 0 && this.maps.draw(this.isDark);
    }
    if (this.isStale || this.isMapStale || (this.machine === "recorded" && this.isPlaying)) this.wake();
  }

  /** Goes on in a recording by the guest's clock. */
  play(now) {
    const passed = Math.min(100, now - (this.playedAt ?? now)) * 1000 / this.factor;
    this.playedAt = now;
    if (!this.isPlaying || this.tape.position < 0) return;
    if (this.tape.isAtEnd) {
      this.isPlaying = false;
      this.isStale = true;
      return;
    }
    const here = this.tape.points[this.tape.position].time;
    if (this.playedUntil < here || this.playedUntil > here + 1e6) this.playedUntil = here;
    this.playedUntil += passed;
    while (!this.tape.isAtEnd && this.tape.points[this.tape.position + 1].time <= this.playedUntil) this.step();
  }

  drawFigures() {
    const { facts } = this.tape.state;
    this.drawMachine();
    this.drawTimeline();
    if (!facts) return;
    this.maps.drawFigures(facts, this.isDark);
    this.curves.draw(this.tape, this.machine === "recorded", this.isDark);
    this.story.draw();
    this.compressed.draw(facts);
    this.figure?.draw(this.tape.points[this.tape.position].said);
    this.tables.draw(facts);
    this.detail.draw();
    this.maps.mark();
    setText(byId("lost"), facts.lost > 0 ? `${count(facts.lost)} events lost` : "");
    document.body.dataset.position = this.tape.position;
    document.body.dataset.torn = facts.torn ?? 0;
  }

  drawMachine() {
    const words = {
      starting: "being built and started",
      running: "running", paused: "paused", waiting: "waiting for what comes next", ended: "the machine has ended",
      gone: "the launcher has ended", recorded: this.isPlaying ? "recording, playing" : "recording, paused",
    };
    setText(byId("machine"), words[this.machine] ?? this.machine);
    byId("machine").dataset.state = this.machine;
    const goesOn = this.machine === "recorded" ? this.isPlaying : this.machine === "running";
    setText(byId("pause"), goesOn ? "❚❚ Pause" : this.figure ? "▶ Play" : "▶ Go on");
    setText(byId("slower"), this.factor === 1 ? "Full speed" : `${this.factor} × slower`);
    setText(byId("clock"), `${seconds(this.tape.points[this.tape.position]?.time ?? timeOrigin)} s`);
  }

  drawTimeline() {
    const slider = byId("timeline");
    slider.max = Math.max(0, this.tape.length - 1);
    slider.value = this.tape.position;
    const point = this.tape.points[this.tape.position];
    if (point) slider.setAttribute("aria-valuetext", `${seconds(point.time)} seconds`);
    const end = this.tape.points.at(-1);
    setText(byId("timeline-end"), end ? `${seconds(point?.time ?? timeOrigin)} of ${seconds(end.time)} s` : "");
    const isLate = this.live !== null && !this.tape.isAtEnd;
    byId("to-live").hidden = !isLate;
  }

  say(words) {
    setText(byId("message"), words);
    byId("message").hidden = words === "";
    clearTimeout(this.silence);
    if (this.machine !== "recorded") this.silence = setTimeout(() => { byId("message").hidden = true; }, 6000);
  }

  setTheme(theme) {
    document.documentElement.dataset.theme = theme;
    this.isStale = true;
  }

  listen() {
    const actions = new Actions(this);
    listenToKeys(actions);
    for (const button of document.querySelectorAll("[data-action]")) {
      button.addEventListener("click", () => {
        actions[button.dataset.action]();
        // Keys are for the map again.
        button.blur();
      });
    }
    for (const heading of document.querySelectorAll("[data-panel] > h2")) {
      heading.addEventListener("dblclick", () => actions.panel(Number(heading.parentElement.dataset.panel)));
    }
    byId("timeline").addEventListener("input", (event) => {
      this.isPlaying = false;
      if (this.figure) this.figure.isFresh = false;
      this.goTo(Number(event.target.value));
    });
    addEventListener("stale", () => { this.isStale = true; });
    // The chapter that a figure is in.
    if (this.figure) addEventListener("message", ({ data }) => { if (data === "dark" || data === "light") this.setTheme(data); });
    // At once: a canvas that got another size is empty until it is drawn.
    addEventListener("resize", () => {
      this.maps.layOut();
      if (this.tape.position < 0) return;
      this.drawFigures();
      this.maps.draw(this.isDark);
    });
  }
}

/** What keys and buttons do. */
class Actions {
  constructor(page) {
    this.page = page;
  }

  async tell(command) {
    const { page } = this;
    if (!page.live) return page.say("This is a recording: what its machine does has been done.");
    const refused = await page.live.control(command);
    if (refused) page.say(refused);
  }

  togglePause() {
    const { page } = this;
    if (page.live) return this.tell(page.machine === "running" ? "pause" : "continue");
    if (page.tape.isAtEnd || page.figure?.isFresh) page.goTo(0);
    if (page.figure) page.figure.isFresh = false;
    page.isPlaying = !page.isPlaying;
    page.isStale = true;
  }

  /** In a recording: to the next message that has such an event. */
  until(command, kind) {
    const { page } = this;
    if (page.live) return this.tell(command);
    page.isPlaying = false;
    for (let index = page.tape.position + 1; index < page.tape.length; index++) {
      if (eventsOf(page.tape.messages[index]).some((event) => event.kind === kind)) return page.goTo(index);
    }
    page.say("No more of these in this recording.");
  }

  untilFault() { this.until("until fault", EVENTS.fault); }
  untilReclaim() { this.until("until reclaim", EVENTS.reclaim); }
  untilPageOut() { this.until("until page-out", EVENTS.pageOut); }

  slower() {
    const { page } = this;
    page.factor = FACTORS[(FACTORS.indexOf(page.factor) + 1) % FACTORS.length];
    if (page.live) this.tell(`slower ${page.factor}`);
    page.isStale = true;
  }

  stepBack() { this.goTo(this.page.tape.position - 1); }
  stepForward() { this.goTo(this.page.tape.position + 1); }
  toBeginning() { this.goTo(0); }
  toEnd() { this.goTo(this.page.tape.length - 1); }

  goTo(position) {
    this.page.isPlaying = false;
    if (this.page.figure) this.page.figure.isFresh = false;
    this.page.goTo(position);
  }

  nextMap() { this.page.maps.focusNext(); this.redraw(); }
  zoomIn() { this.page.maps.active.zoomBy(1); this.redraw(); }
  zoomOut() { this.page.maps.active.zoomBy(-1); this.redraw(); }

  moveCursor(columns, rows, factor) {
    this.page.maps.active.moveCursor(columns * factor, rows * factor);
    if (this.page.detail.chosen) this.chooseCursor();
    this.redraw();
  }

  chooseCursor() {
    const { maps, detail } = this.page;
    const map = maps.active;
    if (map.cursor < 0) map.cursor = 0;
    const area = [...maps.areas].find(([, area]) => area.map === map);
    detail.followed = null;
    detail.choose(area ? { area: area[0], slot: map.cursor } : { frame: map.cursor });
    this.redraw();
  }

  follow() { this.page.detail.toggleFollow(); this.redraw(); }

  panel(number) {
    const { body } = document;
    body.dataset.alone = body.dataset.alone === String(number) ? "" : String(number);
    this.page.maps.layOut();
    this.redraw();
  }

  toggleTheme() { this.page.setTheme(this.page.isDark ? "light" : "dark"); }

  toggleHelp() {
    const help = byId("help");
    if (help.open) help.close();
    else help.showModal();
  }

  closeDetail() { this.page.detail.close(); this.redraw(); }

  escape() {
    if (byId("help").open) return byId("help").close();
    if (this.page.detail.chosen) return this.closeDetail();
    document.body.dataset.alone = "";
    this.page.maps.layOut();
    this.redraw();
  }

  redraw() { this.page.isStale = true; }
}

// What was recorded follows this script.
addEventListener("DOMContentLoaded", () => {
  // For the browser's console, and for tests.
  window.quire = new Page();
  window.quire.start();
});
