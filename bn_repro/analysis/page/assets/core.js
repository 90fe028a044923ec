// What all sections share: the state, controls, and drawing.

const state = {
  data: null, // see page_data.py
  runs: [], // an index into it names a run everywhere below
  units: null, // Float32Array
  histograms: null, // Uint8Array
  chosen: new Set(),
  target: null, // accuracy in 0..1
  sort: { column: 0, descending: false, on: false },
};

const element = (id) => document.getElementById(id);
const controls = () => document.querySelectorAll("main [id]:is(input, select, details)");

function make(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

function setOptions(id, options, selected) {
  element(id).replaceChildren(
    ...options.map(([value, textContent]) => make("option", { value, textContent })),
  );
  if (options.some(([value]) => String(value) === String(selected))) {
    element(id).value = selected;
  }
}

// Typing and sliding show at once; a select or a box when it has changed.
const kindOf = (control) => (control.matches("input:not([type=checkbox])") ? "input" : "change");
function onChange(target, action) {
  for (const kind of ["input", "change"]) {
    target.addEventListener(kind, (event) => { if (kind === kindOf(event.target)) action(); });
  }
}

// Plots are drawn when they come near the window and have changed: drawing all of them
// at once is most of the time that the page takes to open.
const panels = new Map(); // id of a section -> {draw, near, stale}
const watcher = new IntersectionObserver(
  (entries) => {
    for (const entry of entries) {
      panels.get(entry.target.id).near = entry.isIntersecting;
      drawIfDue(entry.target.id);
    }
  },
  { rootMargin: "400px" },
);

// A section is drawn anew when one of its controls changes or it is unfolded.
function addPanel(id, draw) {
  panels.set(id, { draw, near: false, stale: true });
  watcher.observe(element(id));
  onChange(element(id), () => redraw(id));
  element(id).addEventListener("toggle", () => redraw(id));
}

function drawIfDue(id) {
  const panel = panels.get(id);
  if (!window.Plotly || !panel.near || !panel.stale || !element(id).open) return;
  panel.stale = false;
  panel.draw();
  element(id).ariaBusy = "false";
}

// Draws the named sections anew, all of them unless told.
function redraw(...ids) {
  for (const id of ids.length ? ids : panels.keys()) {
    panels.get(id).stale = true;
    element(id).ariaBusy = "true";
    drawIfDue(id);
  }
  saveView();
}

const chosenRuns = () => state.runs.filter((run) => state.chosen.has(run.index));

const count = new Intl.NumberFormat("en-US");
const percent = (value) => `${(100 * value).toFixed(2)} %`;
const last = (values) => values[values.length - 1];
const plural = (n, word) => `${count.format(n)} ${word}${n === 1 ? "" : "s"}`;
const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
const known = (value) => value !== null && value !== undefined && !Number.isNaN(value);

function text(value) {
  if (!known(value)) return "–";
  if (typeof value === "string") return value || "(empty)";
  if (typeof value !== "number") return JSON.stringify(value);
  return String(Number.isInteger(value) ? value : Number(value.toPrecision(6)));
}

const css = (name) =>
  getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const dark = () => Number(matchMedia("(prefers-color-scheme: dark)").matches);
const colorOf = (styled) => styled.colors?.[dark()] ?? css("--ink");
const lineOf = (styled) => ({ color: colorOf(styled), dash: styled.dash });
const translucent = (color, share) =>
  color + Math.round(255 * share).toString(16).padStart(2, "0");

// Values on an axis: as they are, or as an error, 1 - accuracy.
const onScale = (values, scale) =>
  scale === "error" ? values.map((value) => (known(value) ? 1 - value : null)) : values;
const isLog = (scale) => scale !== "linear";

// The range of an axis around values, for Plotly; null if there are none.
function rangeOf(values, scale) {
  const kept = values.filter((value) => known(value) && (!isLog(scale) || value > 0));
  if (!kept.length) return null;
  const ends = [kept.reduce((a, b) => Math.min(a, b)), kept.reduce((a, b) => Math.max(a, b))];
  const [low, high] = isLog(scale) ? ends.map(Math.log10) : ends;
  const space = 0.06 * (high - low) || 0.05 * Math.abs(high) || 0.1;
  return [low - space, high + space];
}

// Ticks at 1, 2, 5 of a logarithmic axis, or of many decades at some powers of ten.
const decades = (range) => {
  const span = range ? range[1] - range[0] : 0;
  return span > 2.2 ? { dtick: Math.ceil(span / 6) } : span > 0.5 ? { dtick: "D2" } : {};
};
const isShare = (name) => /accuracy|share/.test(name);
const axisOf = (title, scale = "linear", range = null) => ({
  title: { text: scale === "error" ? `${title}: error, 1 - accuracy` : title },
  type: isLog(scale) ? "log" : "linear",
  ...(isLog(scale) ? { exponentformat: "power", ...decades(range) } : {}),
  ...(isShare(title) ? { tickformat: ".3~p" } : {}),
  ...(range ? { range } : {}),
});
const hoverY = (name) => (isShare(name) ? "%{y:.4~p}" : "%{y:.4g}");

// An entry for each network or arm, and a bar of colours where a key was swept.
function legendTraces(runs) {
  const { legend, scale } = state.data;
  const shown = new Set(runs.map((run) => run.legend));
  const traces = legend.filter((entry) => shown.has(entry.legend)).map((entry) => ({
    name: entry.legend, legendgroup: entry.legend, x: [null], y: [null],
    mode: "lines", line: lineOf(entry), showlegend: true,
  }));
  return scale && runs.length ? [...traces, colorBar(scale)] : traces;
}

function colorBar({ title, labels, colors }) {
  const [n, every] = [labels.length, Math.ceil(labels.length / 10)];
  const steps = colors[dark()].flatMap((color, i) => [[i / n, color], [(i + 1) / n, color]]);
  const marked = labels.map((_, i) => i).filter((i) => i % every === 0);
  const ticks = { tickvals: marked, ticktext: marked.map((i) => labels[i]) };
  const colorbar = { ...ticks, title: { text: title, side: "right" }, thickness: 12 };
  const marker = { color: [0], colorscale: steps, cmin: -0.5, cmax: n - 0.5, colorbar };
  return { x: [null], y: [null], mode: "markers", marker: { ...marker, showscale: true }, showlegend: false };
}

function template() {
  const lines = { gridcolor: css("--line"), linecolor: css("--soft"), zerolinecolor: css("--line") };
  const axis = { ...lines, automargin: true };
  return {
    layout: {
      paper_bgcolor: css("--ground"), plot_bgcolor: css("--ground"),
      font: { color: css("--ink"), family: "system-ui, sans-serif", size: 12 },
      hoverlabel: { font: { family: "system-ui, sans-serif" } },
      legend: { orientation: "h", yref: "container", y: 0, yanchor: "bottom" },
      margin: { l: 56, r: 12, t: 20, b: 40 },
      hovermode: "closest", xaxis: axis, yaxis: axis,
    },
  };
}

// Draws traces, or says in words why there are none. A click on a run's curve or mark,
// which has its index as customdata, ticks it or takes its tick away.
function plot(id, label, traces, layout, missing) {
  const target = element(id);
  target.classList.toggle("empty", traces.length === 0);
  if (traces.length === 0) {
    if (target.data) Plotly.purge(target);
    target.removeAttribute("role");
    target.textContent = missing;
    return;
  }
  const first = !target.data;
  if (first) target.textContent = "";
  target.setAttribute("role", "img");
  target.setAttribute("aria-label", label);
  // What this leaves out would send the data to a server, or selects nothing here.
  const modeBarButtonsToRemove = ["select2d", "lasso2d", "sendChartToCloud"];
  const options = { displaylogo: false, modeBarButtonsToRemove };
  const size = { width: target.clientWidth, height: 340 };
  Plotly.react(target, traces, { template: template(), ...size, ...layout }, options);
  if (first) target.on("plotly_click", ({ points: [point] }) => clicked(point.customdata));
}

function clicked(what) {
  if (typeof what === "string") return showLayer(what);
  if (!Number.isInteger(what)) return;
  choose([state.runs[what]], !state.chosen.has(what));
}

// Panels in rows, each {title, traces, xaxis, yaxis}, as one plot.
function grid(id, label, cells, columns, layout, missing) {
  const [traces, axes, annotations] = [[], {}, []];
  const rows = Math.ceil(cells.length / columns);
  const height = 60 + 280 * rows;
  // Beside and below a panel stand its axes: 60 and 90 pixels.
  const place = (i, n, gap) => [i / n + (i ? gap : 0), (i + 1) / n];
  const beside = 60 / Math.max(300, element(id).clientWidth - 68);
  cells.forEach((cell, i) => {
    const n = i ? i + 1 : "";
    const x = place(i % columns, columns, beside);
    const y = place(rows - 1 - Math.floor(i / columns), rows, 90 / height);
    axes[`xaxis${n}`] = { ...cell.xaxis, domain: x, anchor: `y${n}` };
    axes[`yaxis${n}`] = { ...cell.yaxis, domain: y, anchor: `x${n}` };
    const at = { xref: "paper", yref: "paper", x: x[0], y: y[1], xanchor: "left", yanchor: "bottom" };
    annotations.push({ ...at, text: cell.title, showarrow: false });
    traces.push(...cell.traces.map((trace) => ({ ...trace, xaxis: `x${n}`, yaxis: `y${n}` })));
  });
  plot(id, label, traces, { height, annotations, margin: { t: 44 }, ...axes, ...layout }, missing);
}

// Decompresses one of the page's packed blocks.
async function unpack(id) {
  const binary = atob(element(id).textContent);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  const stream = new Blob([bytes])
    .stream()
    .pipeThrough(new DecompressionStream("gzip"));
  element(id).remove();
  return new Response(stream);
}
