"use strict";
// Charts: what was pushed, what waited, how long pushes took; by eye, by arrow keys, and as a table.

const HEIGHT = 150;
const MARGIN = { top: 8, right: 10, bottom: 22, left: 44 };
// Distances of the marks on the axis of time, in minutes.
const STEPS = [5, 10, 15, 30, 60, 120, 180, 360, 720, 1440];
const LEAST_PIXELS_A_MARK = 64;

const CHARTS = [
  {
    title: "Orders pushed, a minute",
    lines: [
      { name: "proven", of: (point) => point.orders_pushed / bucketMinutes },
      { name: "not proven", of: (point) => point.unproven / bucketMinutes },
    ],
    unit: "",
  },
  {
    title: "Rows waiting",
    lines: [{ name: "due", of: (point) => point.due_rows }],
    unit: "",
  },
  {
    title: "How long a push takes, ms",
    lines: [
      { name: "mean", of: (point) => point.mean_push_ms },
      { name: "slowest", of: (point) => point.slowest_push_ms },
    ],
    unit: " ms",
  },
];

const COLUMNS = [
  ["UTC", (point) => time(point.at).slice(0, -3)],
  ["Pushed", (point) => whole(point.orders_pushed)],
  ["Not proven", (point) => whole(point.unproven)],
  ["Waiting", (point) => maybe(point.due_rows, whole)],
  ["Mean ms", (point) => maybe(point.mean_push_ms, rough)],
  ["Slowest ms", (point) => maybe(point.slowest_push_ms, whole)],
];

let points = [];
let bucketMinutes = 1;
const charts = CHARTS.map(chartOf);

function maybe(value, words) {
  return value == null ? "–" : words(value);
}

function showHistory(told) {
  bucketMinutes = told.bucket_minutes;
  // The last bucket is not over: it would look like a drop.
  points = told.points.length > 1 ? told.points.slice(0, -1) : told.points;
  drawCharts();
  if (byId("points").open) fillTable();
}

function drawCharts() {
  for (const chart of charts) chart.draw();
}

function chartOf(chart) {
  const readout = make("p", { class: "readout" });
  const picture = draw("svg", { "aria-hidden": "true", focusable: "false" });
  // A slider: the arrow keys go through time, and each moment is read out.
  const field = make(
    "div",
    {
      class: "field",
      role: "slider",
      tabindex: "0",
      "aria-label": `${chart.title}: a moment, by the arrow keys`,
      "aria-valuemin": "0",
      "aria-valuenow": "0",
    },
    picture,
  );
  const legend = make("p", { class: "legend", "aria-hidden": "true" });
  chart.lines.forEach((line, number) => {
    const sample = draw("svg", { class: "sample", viewBox: "0 0 24 8" });
    sample.append(draw("path", { class: `line line-${number}`, d: "M0 4H24" }));
    legend.append(make("span", {}, sample, line.name));
  });
  byId("charts").append(
    make("figure", {}, make("figcaption", {}, make("h3", {}, chart.title), legend), readout, field),
  );
  const marker = draw("g", { class: "marker" });
  let chosenAt = null;
  let scales = null;

  function drawn() {
    const width = field.clientWidth;
    picture.setAttribute("width", width);
    picture.setAttribute("height", HEIGHT);
    picture.replaceChildren();
    scales = points.length && width ? scalesOf(chart, width) : null;
    if (scales) {
      axes(picture, scales, width);
      chart.lines.forEach((line, number) => lineOf(picture, line, number, scales));
      picture.append(marker);
    }
    field.setAttribute("aria-valuemax", Math.max(0, points.length - 1));
    choose(chosenIndex());
  }

  function chosenIndex() {
    if (chosenAt === null) return null;
    // By its time: new points push the old ones to the left.
    const found = points.findIndex((point) => point.at >= chosenAt);
    return found < 0 ? points.length - 1 : found;
  }

  function choose(index) {
    const isChosen = index !== null && scales !== null;
    const shown = isChosen ? Math.min(Math.max(index, 0), points.length - 1) : points.length - 1;
    chosenAt = isChosen ? points[shown].at : null;
    marker.replaceChildren();
    if (isChosen) mark(marker, chart, points[shown], scales, shown);
    const words = points.length ? wordsOf(chart, points[shown], isChosen) : "Nothing was counted yet.";
    say(readout, words);
    field.setAttribute("aria-valuenow", Math.max(0, shown));
    field.setAttribute("aria-valuetext", words);
  }

  function atPointer(event) {
    if (!scales) return;
    const x = event.clientX - field.getBoundingClientRect().left;
    choose(Math.round(((x - MARGIN.left) / scales.width) * (points.length - 1)));
  }

  field.addEventListener("pointerdown", atPointer);
  field.addEventListener("pointermove", atPointer);
  field.addEventListener("pointerleave", () => choose(null));
  field.addEventListener("focus", () => field.matches(":focus-visible") && choose(points.length - 1));
  field.addEventListener("blur", () => choose(null));
  field.addEventListener("keydown", (event) => {
    const here = chosenIndex() ?? points.length - 1;
    const there = {
      ArrowLeft: here - 1,
      ArrowDown: here - 1,
      ArrowRight: here + 1,
      ArrowUp: here + 1,
      PageDown: here - 10,
      PageUp: here + 10,
      Home: 0,
      End: points.length - 1,
      Escape: null,
    }[event.key];
    if (there === undefined) return;
    event.preventDefault();
    choose(there);
  });
  return { draw: drawn };
}

function wordsOf(chart, point, isChosen) {
  const values = chart.lines.map((line) => {
    const value = line.of(point);
    return value == null ? `${line.name} none` : `${line.name} ${rough(value)}${chart.unit}`;
  });
  const words = `${time(point.at).slice(0, -3)}: ${values.join(", ")}`;
  if (isChosen) return words;
  const top = points.reduce((best, each) => (highest(chart, each) > highest(chart, best) ? each : best));
  const value = highest(chart, top);
  const most = value > 0 ? `\nthe most ${rough(value)}${chart.unit} at ${time(top.at).slice(0, -3)}` : "";
  return `${words}${most}`;
}

function highest(chart, point) {
  return Math.max(0, ...chart.lines.map((line) => line.of(point) ?? 0));
}

function scalesOf(chart, width) {
  const top = niceAbove(Math.max(...points.map((point) => highest(chart, point))));
  const inner = width - MARGIN.left - MARGIN.right;
  const height = HEIGHT - MARGIN.top - MARGIN.bottom;
  return {
    top,
    width: inner,
    x: (index) => MARGIN.left + (inner * index) / Math.max(1, points.length - 1),
    y: (value) => MARGIN.top + height * (1 - value / top),
  };
}

/** The next of 1, 2, 4, 10, 20, …: its half is a round number, too. */
function niceAbove(value) {
  const power = 10 ** Math.floor(Math.log10(Math.max(value, 1)));
  return [1, 2, 4, 6, 10].map((step) => step * power).find((each) => each >= value && each > 1) ?? 2;
}

function axes(picture, scales, width) {
  for (const value of [0, scales.top / 2, scales.top]) {
    const y = scales.y(value);
    picture.append(
      draw("path", { class: "grid", d: `M${MARGIN.left} ${y}H${width - MARGIN.right}` }),
      draw("text", { x: MARGIN.left - 6, y: y + 4, "text-anchor": "end" }, axisNumber(value)),
    );
  }
  const minutes = points.length * bucketMinutes;
  const least = (minutes * LEAST_PIXELS_A_MARK) / scales.width;
  const step = STEPS.find((each) => each >= least) ?? STEPS.at(-1);
  points.forEach((point, index) => {
    const sinceStep = (Date.parse(point.at) / 60000) % step;
    if (sinceStep >= bucketMinutes) return;
    const x = scales.x(index);
    if (x < MARGIN.left + 14 || x > width - 16) return;
    const label = step >= 1440 ? point.at.slice(5, 10) : point.at.slice(11, 16);
    picture.append(
      draw("path", { class: "grid", d: `M${x} ${scales.y(0)}v4` }),
      draw("text", { x, y: HEIGHT - 4, "text-anchor": "middle" }, label),
    );
  });
}

function axisNumber(value) {
  return value >= 10000 ? `${rough(value / 1000)}k` : rough(value);
}

function lineOf(picture, line, number, scales) {
  const runs = [[]];
  points.forEach((point, index) => {
    const value = line.of(point);
    // What nobody measured is a gap, not a zero.
    if (value == null) runs.push([]);
    else runs.at(-1).push(`${scales.x(index).toFixed(1)} ${scales.y(value).toFixed(1)}`);
  });
  for (const run of runs.filter((each) => each.length)) {
    if (number === 0 && run.length > 1) {
      const [from, to] = [run[0].split(" ")[0], run.at(-1).split(" ")[0]];
      const base = scales.y(0);
      picture.append(draw("path", { class: "area", d: `M${from} ${base}L${run.join("L")}L${to} ${base}Z` }));
    }
    const alone = run.length === 1 ? "h1" : "";
    picture.append(draw("path", { class: `line line-${number}`, d: `M${run.join("L")}${alone}` }));
  }
}

function mark(marker, chart, point, scales, index) {
  const x = scales.x(index);
  marker.append(draw("path", { class: "cursor", d: `M${x} ${MARGIN.top}V${scales.y(0)}` }));
  chart.lines.forEach((line, number) => {
    const value = line.of(point);
    if (value != null) marker.append(draw("circle", { class: `dot dot-${number}`, cx: x, cy: scales.y(value), r: 4 }));
  });
}

function fillTable() {
  const [head, body] = [byId("points").querySelector("thead tr"), byId("points").querySelector("tbody")];
  if (!head.children.length) head.append(...COLUMNS.map(([name]) => make("th", { scope: "col" }, name)));
  keep(body, points.toReversed(), (point) => point.at, () => {
    const cells = COLUMNS.map((_, number) => make(number ? "td" : "th", number ? {} : { scope: "row" }));
    return {
      node: make("tr", {}, ...cells),
      update: (point) => cells.forEach((cell, number) => say(cell, COLUMNS[number][1](point))),
    };
  });
}

byId("points").addEventListener("toggle", () => byId("points").open && fillTable());
new ResizeObserver(drawCharts).observe(byId("charts"));
