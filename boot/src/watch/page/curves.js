// Curves over time: small charts with one subject each, drawn from the points of the tape.

const WINDOW = 60e6;

/** Lines differ in their dashes as well as in their colours. */
const LINES = [
  { dark: "#ffc24b", light: "#b56a00", dash: [] },
  { dark: "#6fc3f2", light: "#1769a8", dash: [6, 3] },
  { dark: "#1fb58a", light: "#087a5a", dash: [2, 3] },
  { dark: "#e48fc0", light: "#a33a7c", dash: [9, 3, 2, 3] },
];

const total = (devices, zswap, field, other) => (devices ?? []).reduce((sum, device) => sum + device[field], 0) + (zswap?.[other] ?? 0);

/** What is drawn: values at a moment, or how fast a sum grows between two. */
const CHARTS = [
  {
    title: "Free frames",
    unit: "",
    lines: ["with the watermarks of reclaim"],
    isLevel: true,
    values: (_, now) => [now.memory?.free ?? 0],
    // Near the watermarks is where things happen: what is far above them is drawn at the top.
    top: (greatest, now) => Math.min(niceTop(greatest), 5 * (now.memory?.high ?? greatest)),
    marks: (now) => [["high", now.memory?.high], ["low", now.memory?.low], ["min", now.memory?.min]],
  },
  {
    title: "Faults",
    unit: "per second",
    lines: ["new", "read", "cached", "other"],
    values: (before, now) => {
      const groups = ["new", "read", "cached", "other"];
      const sums = groups.map(() => 0);
      FAULT_SERVICES.forEach((service, index) => { sums[groups.indexOf(service.group)] += now.faults[index] - before.faults[index]; });
      return perSecond(sums, before, now);
    },
  },
  {
    title: "Swap traffic",
    unit: "per second",
    lines: ["pages out", "in"],
    values: (before, now) => perSecond(["pswpout", "pswpin"].map((name) => growth(before, now, name)), before, now),
  },
  {
    title: "Refaults",
    unit: "per second",
    lines: ["came back soon after they went"],
    values: (before, now) => perSecond([growth(before, now, "workingset_refault_anon")], before, now),
  },
  {
    title: "Compression",
    unit: "times smaller",
    lines: ["zram and zswap"],
    isLevel: true,
    // Pages of one value take nothing: where there are hardly any others, that would hide what those take later.
    top: (greatest) => Math.min(8, niceTop(greatest)),
    values: (_, now) => {
      const original = total(now.zram, now.zswap, "original", "original");
      const compressed = total(now.zram, now.zswap, "compressed", "compressed");
      return [compressed > 0 ? original / compressed : 0];
    },
    decimals: 1,
  },
  {
    title: "Reclaim's yield",
    unit: "% of all seen",
    lines: ["could go"],
    values: (before, now) => {
      const scanned = now.reclaimed[0] - before.reclaimed[0];
      return [scanned > 0 ? Math.min(100, 100 * (now.reclaimed[1] - before.reclaimed[1]) / scanned) : 0];
    },
    top: () => 100,
  },
];

function growth(before, now, name) {
  return Math.max(0, (now.counters[name] ?? 0) - (before.counters[name] ?? 0));
}

function perSecond(sums, before, now) {
  const time = (now.time - before.time) / 1e6;
  return sums.map((sum) => (time > 0 ? sum / time : 0));
}

class Curves {
  constructor(place) {
    this.charts = CHARTS.map((chart) => {
      const canvas = element("canvas");
      sizes.observe(canvas);
      const latest = element("b", "latest");
      const isOne = chart.lines.length === 1;
      const figures = chart.lines.map(() => (isOne ? latest : element("b")));
      const names = chart.lines.map((name, index) => (isOne ? element("span", "", name) : lineName(name, index, figures[index])));
      const legend = element("span", "lines", ...names);
      const heading = element("h3", "", chart.title, " ", isOne ? latest : "", " ", element("small", "", chart.unit));
      place.append(element("figure", "chart", heading, canvas, legend));
      return { ...chart, canvas, figures };
    });
  }

  /** Draws up to the tape's position: the last minute, or all of a recording. */
  draw(tape, isWhole, isDark) {
    const now = tape.points[tape.position];
    if (!now) return;
    const end = isWhole ? tape.points.at(-1).time : now.time;
    const start = isWhole ? tape.points[0].time : Math.max(tape.points[0].time, end - WINDOW);
    for (const chart of this.charts) {
      const lines = sample(chart, tape, start, end, 150);
      drawChart(chart, lines, now, (now.time - start) / Math.max(1, end - start), isDark);
    }
  }
}

function lineName(name, index, figure) {
  const swatch = element("canvas", "dash");
  swatch.dataset.line = index;
  return element("span", "", swatch, name, figure);
}

/** The chart's values at so many moments between two. */
function sample(chart, tape, start, end, moments) {
  const lines = chart.lines.map(() => []);
  let index = firstAfter(tape.points, start);
  let before = tape.points[Math.max(0, index - 1)];
  for (let moment = 1; moment <= moments; moment++) {
    const until = start + (end - start) * moment / moments;
    let now = null;
    while (index < tape.length && index <= (tape.points.at(-1).time === end ? tape.length : tape.position) && tape.points[index].time <= until) now = tape.points[index++];
    if (!now) continue;
    chart.values(before, now).forEach((value, line) => lines[line].push([moment / moments, value]));
    before = now;
  }
  return lines;
}

function firstAfter(points, time) {
  let low = 0;
  let high = points.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (points[middle].time < time) low = middle + 1;
    else high = middle;
  }
  return low;
}

function drawChart(chart, lines, now, cursor, isDark) {
  const { canvas } = chart;
  const scale = window.devicePixelRatio || 1;
  const width = canvas.clientWidth;
  const height = canvas.clientHeight;
  if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
  }
  const context = canvas.getContext("2d");
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.clearRect(0, 0, width, height);
  const marks = chart.marks?.(now).filter(([, value]) => value > 0) ?? [];
  const greatest = Math.max(...lines.flat().map(([, value]) => value), ...marks.map(([, value]) => value * 1.5), 0);
  const top = Math.max(1, chart.top?.(greatest, now) ?? niceTop(greatest));
  const y = (value) => height - 3 - (height - 8) * Math.min(1, value / top);
  const ink = isDark ? "#c6ced8" : "#39424d";
  context.font = `12px ${getComputedStyle(document.body).fontFamily}`;
  context.fillStyle = ink;
  context.strokeStyle = isDark ? "#39424d" : "#c3cad1";
  context.lineWidth = 1;
  for (const part of [0, 1]) strokeAt(context, y(top * part), width);
  context.setLineDash([3, 3]);
  context.strokeStyle = ink;
  for (const [, value] of marks) strokeAt(context, y(value), width);
  context.setLineDash([]);
  lines.forEach((line, index) => {
    const look = LINES[index];
    context.strokeStyle = isDark ? look.dark : look.light;
    context.lineWidth = 2;
    context.setLineDash(look.dash);
    context.beginPath();
    for (const [x, value] of line) context.lineTo(x * width, y(value));
    context.stroke();
  });
  context.setLineDash([]);
  if (cursor < 0.995) {
    context.strokeStyle = ink;
    context.lineWidth = 1;
    context.beginPath();
    context.moveTo(cursor * width, 0);
    context.lineTo(cursor * width, height);
    context.stroke();
  }
  if (marks.length > 0) {
    // In one line, since the three often lie close together.
    const named = marks.map(([name, value]) => `${name} ${count(value)}`).join("  ");
    const fits = context.measureText(named).width <= width - 4;
    const words = fits ? named : marks.map(([, value]) => count(value)).join("  ");
    context.textAlign = "right";
    writeAt(context, words, width - 2, y(marks[0][1]) - 5, isDark);
    context.textAlign = "left";
  }
  writeAt(context, top >= 10 ? count(top) : top.toFixed(1), 2, 12, isDark);
  chart.figures.forEach((figure, index) => {
    const sampled = lines[index].findLast(([x]) => x <= cursor + 1e-9)?.[1] ?? 0;
    const latest = chart.isLevel ? chart.values(now, now)[index] : sampled;
    setText(figure, chart.decimals ? latest.toFixed(chart.decimals) : count(latest));
  });
  for (const dash of canvas.parentElement.querySelectorAll(".dash")) drawDash(dash, LINES[dash.dataset.line], isDark);
}

/** Words that can be read where a curve runs behind them. */
function writeAt(context, words, x, y, isDark) {
  context.strokeStyle = isDark ? "#171b21" : "#fafbfc";
  context.lineWidth = 4;
  context.strokeText(words, x, y);
  context.fillText(words, x, y);
}

function strokeAt(context, y, width) {
  context.beginPath();
  context.moveTo(0, Math.round(y) + 0.5);
  context.lineTo(width, Math.round(y) + 0.5);
  context.stroke();
}

function drawDash(canvas, look, isDark) {
  canvas.width = 12;
  canvas.height = 10;
  const context = canvas.getContext("2d");
  context.strokeStyle = isDark ? look.dark : look.light;
  context.lineWidth = 3;
  context.setLineDash(look.dash);
  strokeAt(context, 4.5, 12);
}

/** 1, 2 or 5 with zeros: a chart's top that does not change with each value. */
function niceTop(greatest) {
  if (greatest <= 1) return 1;
  const scale = 10 ** Math.floor(Math.log10(greatest));
  return scale * [1, 2, 5, 10].find((step) => step * scale >= greatest);
}
