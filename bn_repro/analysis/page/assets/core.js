// The state that all panels share, and how they draw.

const state = {
  runs: [], // see page_data.py; an index into it names a run everywhere below
  keys: [],
  sweepKey: null, // the one to begin with
  viewer: null,
  units: null, // Float32Array
  chosen: new Set(),
  target: null, // accuracy in 0..1
};

// Plots are drawn when they come near the window and have changed: drawing all of them
// at once is most of the time that the page takes to open.
const drawings = new Map(); // id of a section -> {draw, near, stale}
const watcher = new IntersectionObserver(
  (entries) => {
    for (const entry of entries) {
      drawings.get(entry.target.id).near = entry.isIntersecting;
      drawIfDue(entry.target.id);
    }
  },
  { rootMargin: "400px" },
);

function addPanel(id, draw) {
  drawings.set(id, { draw, near: false, stale: true });
  watcher.observe(element(id));
}

function drawIfDue(id) {
  const panel = drawings.get(id);
  if (!window.Plotly || !panel.near || !panel.stale) return;
  panel.stale = false;
  panel.draw();
  element(id).ariaBusy = "false";
}

// Draws the named sections anew, all of them unless told.
function redraw(...ids) {
  for (const id of ids.length ? ids : drawings.keys()) {
    drawings.get(id).stale = true;
    element(id).ariaBusy = "true";
    drawIfDue(id);
  }
}

const element = (id) => document.getElementById(id);

function make(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

// Typing shows at once; a select or a box when it has changed.
function onInput(ids, action) {
  for (const id of ids) {
    const typed = element(id).matches("input:not([type=checkbox])");
    element(id).addEventListener(typed ? "input" : "change", action);
  }
}

function setOptions(id, options, selected) {
  const select = element(id);
  select.replaceChildren(
    ...options.map(([value, text]) => make("option", { value, textContent: text })),
  );
  if (options.some(([value]) => String(value) === String(selected))) {
    select.value = selected;
  }
}

// Options of which the selected one stays selected where it is still there.
function updateOptions(id, options, preferred) {
  const current = element(id).value;
  const kept = options.some(([value]) => String(value) === current);
  setOptions(id, options, kept ? current : preferred);
}

const chosenRuns = () => state.runs.filter((run) => state.chosen.has(run.index));

const count = new Intl.NumberFormat("en-US");
const percent = (value) => `${(100 * value).toFixed(2)} %`;
const last = (values) => values[values.length - 1];
const plural = (n, word) => `${count.format(n)} ${word}${n === 1 ? "" : "s"}`;

function duration(seconds) {
  if (seconds < 120) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 120) return `${minutes} min`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

function text(value) {
  if (value === null || value === undefined) return "–";
  if (typeof value === "string") return value || "(empty)";
  return typeof value === "number" ? String(value) : JSON.stringify(value);
}

const shortKey = (key) => last(key.split("."));
const statement = (run, keys) =>
  keys.map((key) => `${shortKey(key)}=${text(run.config[key])}`).join(", ");

// Held-out accuracy: [steps, values] without what was not finite.
function heldOut(run) {
  const curve = run.curves[run.held_out];
  if (!curve) return [[], []];
  const kept = curve.accuracy.map((value, i) => [curve.steps[i], value]);
  const finite = kept.filter(([, value]) => value !== null);
  return [finite.map(([step]) => step), finite.map(([, value]) => value)];
}

function stepsToTarget(run) {
  if (state.target === null) return null;
  const [steps, values] = heldOut(run);
  // Both were rounded to five digits on their way here.
  const reached = values.findIndex((value) => value >= state.target - 1e-9);
  return reached < 0 ? null : steps[reached];
}

const DASHES = ["solid", "dash", "dot", "dashdot"];

const css = (name) =>
  getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// Colour and dash of the i-th of several curves: 32 that can be told apart.
function style(i) {
  const colors = css("--series").split(/\s+/);
  const dash = DASHES[Math.floor(i / colors.length) % DASHES.length];
  return { color: colors[i % colors.length], dash };
}

const translucent = (color, share) =>
  color + Math.round(255 * share).toString(16).padStart(2, "0");

function template() {
  const axis = {
    gridcolor: css("--line"),
    linecolor: css("--soft"),
    zerolinecolor: css("--line"),
    automargin: true,
  };
  return {
    layout: {
      paper_bgcolor: css("--ground"),
      plot_bgcolor: css("--ground"),
      font: { color: css("--ink"), family: "system-ui, sans-serif", size: 13 },
      hoverlabel: { font: { family: "system-ui, sans-serif" } },
      legend: { orientation: "h", yref: "container", y: 0, yanchor: "bottom" },
      margin: { l: 60, r: 16, t: 16, b: 44 },
      xaxis: axis,
      yaxis: axis,
    },
  };
}

// Draws traces, or says in words why there are none.
function plot(id, label, traces, layout, missing) {
  const target = element(id);
  target.classList.toggle("empty", traces.length === 0);
  if (traces.length === 0) {
    if (target.data) Plotly.purge(target);
    target.removeAttribute("role");
    target.textContent = missing;
    return;
  }
  if (!target.data) target.textContent = "";
  target.setAttribute("role", "img");
  target.setAttribute("aria-label", label);
  const options = {
    responsive: true,
    displaylogo: false,
    // The last one would send the data to a server.
    modeBarButtonsToRemove: ["select2d", "lasso2d", "sendChartToCloud"],
  };
  Plotly.react(target, traces, { template: template(), ...layout }, options);
}

// More names than this would take more room than the curves; a curve tells its own.
const LEGEND = 40;
const withLegend = (n) => ({
  showlegend: n <= LEGEND,
  height: 440 + (n <= LEGEND ? 5 * Math.max(0, n - 8) : 0),
});
const legendNote = (n) =>
  n > LEGEND ? "Too many curves for a legend: point at one to see its run. " : "";

const axisTitle = (title, logarithmic) => ({
  title: { text: title },
  type: logarithmic ? "log" : "linear",
});

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
