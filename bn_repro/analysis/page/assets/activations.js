// The inputs to a layer's nonlinearity over the training, of two runs side by side.

const SIDES = ["left", "right"];

const entryOf = (side) =>
  state.viewer.runs.find((entry) => entry.run === element(`${side}-run`).value);
const layerOf = (entry) =>
  entry?.layers.find((layer) => layer.name === element("viewer-layer").value);

// Percentile p of the u-th kept unit at all steps; the array lies as [T, P, units].
function unitValues(entry, layer, p, u) {
  const [rows, units] = [entry.percentiles.length, layer.units.length];
  return entry.steps.map((_, t) => {
    const value = state.units[layer.offset + (t * rows + p) * units + u];
    return Number.isFinite(value) ? value : null;
  });
}

// The kept unit at or next after the one asked for.
function keptIndex(layer, unit) {
  const found = layer.units.findIndex((kept) => kept >= unit);
  return found < 0 ? layer.units.length - 1 : found;
}

const middle = (entry) =>
  entry.percentiles.reduce((best, value, p) =>
    Math.abs(value - 50) < Math.abs(entry.percentiles[best] - 50) ? p : best, 0);

const normOf = (entry) =>
  state.runs.find((run) => run.name === entry?.run)?.config["model.norm"];

// The figures' colours, blue with BN and orange without, where that tells them apart.
function colorIndex(side) {
  const [left, right] = SIDES.map((one) => normOf(entryOf(one)) === "none");
  if (left === right) return SIDES.indexOf(side);
  return Number(side === "left" ? left : right);
}

function unitTraces(entry, layer, side) {
  const u = keptIndex(layer, element(`${side}-unit`).valueAsNumber || 0);
  const { color } = style(colorIndex(side));
  return entry.percentiles.map((value, p) => ({
    name: `${value}th percentile`,
    x: entry.steps,
    y: unitValues(entry, layer, p, u),
    mode: entry.steps.length > 1 ? "lines" : "markers",
    line: { color, width: p === middle(entry) ? 2.5 : 1 },
    fill: p ? "tonexty" : "none",
    fillcolor: translucent(color, 0.15),
    hovertemplate: `%{y:.3f}<extra>${value}th</extra>`,
  }));
}

function medians(entry, layer) {
  return layer.units.map((_, u) => unitValues(entry, layer, middle(entry), u));
}

function heatTraces(entry, layer, limit) {
  return [
    {
      type: "heatmap",
      x: entry.steps,
      y: layer.units,
      z: medians(entry, layer),
      zmin: -limit,
      zmax: limit,
      colorscale: [[0, "#2166ac"], [0.5, "#f7f7f7"], [1, "#b2182b"]],
      colorbar: { title: { text: "median" } },
      hovertemplate: "step %{x}, unit %{y}: %{z:.3f}<extra></extra>",
    },
  ];
}

function extent(values) {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    if (value === null) continue;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return [low, high];
}

// What a side shows; null where the run has not this layer.
function pane(side) {
  const entry = entryOf(side);
  const layer = layerOf(entry);
  if (!layer) return { side, entry, layer: null, range: [Infinity, -Infinity] };
  const all = element("viewer-show").value === "all";
  const values = all
    ? medians(entry, layer).flat()
    : unitTraces(entry, layer, side).flatMap((trace) => trace.y);
  return { side, entry, layer, range: extent(values) };
}

function drawPane({ side, entry, layer, range }, shared) {
  const all = element("viewer-show").value === "all";
  const name = element("viewer-layer").value;
  const [low, high] = element("viewer-same").checked ? shared : range;
  const traces = !layer
    ? []
    : all
      ? heatTraces(entry, layer, Math.max(Math.abs(low), Math.abs(high)) || 1)
      : unitTraces(entry, layer, side);
  const space = 0.05 * (high - low) || 1;
  const layout = {
    height: 400,
    hovermode: all ? "closest" : "x unified",
    showlegend: false,
    xaxis: axisTitle("training steps", element("viewer-log").checked),
    yaxis: all
      ? axisTitle(`unit of ${name}`)
      : {
          ...axisTitle(`input to the ${entry?.nonlinearity ?? "nonlinearity"}`),
          range: [low - space, high + space],
        },
  };
  const label = `${name} of ${entry?.run}: ${element("viewer-show").selectedOptions[0].text}`;
  const missing = entry
    ? `${entry.run} has no layer ${name}.`
    : "No run was probed.";
  plot(`${side}-plot`, label, traces, layout, missing);
}

function drawViewer() {
  const shown = SIDES.map(pane);
  const shared = extent(shown.flatMap(({ range }) => range.filter(Number.isFinite)));
  for (const one of shown) drawPane(one, shared);
  const single = element("viewer-show").value === "unit";
  for (const { side, layer } of shown) {
    element(`${side}-unit`).disabled = !single || !layer;
    element(`${side}-typical`).disabled = !single || !layer;
  }
}

function setUnit(side, unit) {
  const layer = layerOf(entryOf(side));
  if (!layer) return;
  const input = element(`${side}-unit`);
  input.max = last(layer.units);
  input.value = layer.units[keptIndex(layer, unit)];
}

// With some units left out a step of the arrow keys goes to the next one that is kept.
function stepUnit(side) {
  const input = element(`${side}-unit`);
  const layer = layerOf(entryOf(side));
  if (!layer || Number.isNaN(input.valueAsNumber)) return;
  const previous = Number(input.dataset.previous);
  const kept = layer.units.indexOf(previous);
  if (kept >= 0 && input.valueAsNumber === previous - 1) {
    input.value = layer.units[Math.max(0, kept - 1)];
  } else {
    setUnit(side, input.valueAsNumber);
  }
  input.dataset.previous = input.value;
}

function typical(side) {
  const layer = layerOf(entryOf(side));
  if (layer) setUnit(side, layer.typical);
  element(`${side}-unit`).dataset.previous = element(`${side}-unit`).value;
}

function viewerNote() {
  const { limit } = state.viewer;
  const parts = ["The typical unit is the one whose location drift is the median of its layer's."];
  if (limit !== null) {
    parts.push(`Of wider layers ${plural(limit, "evenly spaced unit")} are here, for the page's size.`);
  }
  return parts.join(" ");
}

function showLeftOut() {
  const { left_out: leftOut, unprobed, runs } = state.viewer;
  element("viewer-left-out").hidden = leftOut.length === 0;
  element("viewer-left-out-count").textContent =
    `Single units of ${plural(runs.length, "run")} are here; left out for the page's size: ${plural(leftOut.length, "run")}, to be had by scripts/report.py --viewer_runs=NAME,NAME`;
  element("viewer-left-out-names").textContent = leftOut.join(", ");
  if (unprobed.length) {
    element("viewer-note").append(` Without probes: ${unprobed.join(", ")}.`);
  }
}

// Two different networks to begin with: the first run, and the first of another norm.
function firstPair(entries) {
  const other = entries.find((entry) => normOf(entry) !== normOf(entries[0]));
  return [entries[0], other ?? entries[1] ?? entries[0]];
}

function startActivations() {
  const entries = state.viewer.runs;
  element("viewer-note").textContent = viewerNote();
  showLeftOut();
  const layers = [...new Set(entries.flatMap((entry) => entry.layers.map((l) => l.name)))];
  setOptions("viewer-layer", layers.map((name) => [name, name]), last(layers));
  const pair = entries.length ? firstPair(entries) : [];
  SIDES.forEach((side, i) => {
    const options = entries.map((entry) => [entry.run, entry.run]);
    setOptions(`${side}-run`, options, pair[i]?.run);
    const retype = () => { typical(side); redraw("activations"); };
    onInput([`${side}-run`], retype);
    onInput([`${side}-unit`], () => { stepUnit(side); redraw("activations"); });
    element(`${side}-typical`).addEventListener("click", retype);
    typical(side);
  });
  onInput(["viewer-layer"], () => { SIDES.forEach(typical); redraw("activations"); });
  onInput(["viewer-show", "viewer-same", "viewer-log"], () => redraw("activations"));
  element("viewer-controls").hidden = entries.length === 0;
  element("viewer-panes").hidden = entries.length === 0;
  element("viewer-log").checked = entries.some(({ steps }) => steps.length > 3
    && steps[steps.length >> 1] < last(steps) / 4);
  addPanel("activations", drawViewer);
}
