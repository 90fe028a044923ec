// What goes into and comes out of the nonlinearities, of two runs.

const entryOf = (side) =>
  state.data.viewer.runs.find((entry) => entry.run === element(`${side}-run`).value);
const entries = () => [...new Set([entryOf("left"), entryOf("right")])].filter(Boolean);
const layerOf = (entry, name = element("viewer-layer").value) =>
  entry.layers.find((layer) => layer.name === name);
const runOf = (entry) => state.runs.find((run) => run.name === entry.run);
const viewerStep = () => state.data.layers.steps[element("viewer-step").valueAsNumber] ?? 0;

// The place of the last probe at or before a step; the first one if there is none.
const probeAt = (steps, step) => Math.max(0, steps.filter((probed) => probed <= step).length - 1);

// Percentile p of the u-th kept unit at all steps; the array lies as [T, P, units].
function unitValues(entry, layer, p, u) {
  const [rows, units] = [entry.percentiles.length, layer.units.length];
  return entry.steps.map((_, t) => {
    const value = state.units[layer.offset + (t * rows + p) * units + u];
    return Number.isFinite(value) ? value : null;
  });
}

// One histogram: edges of its bins and shares of its peak; they lie as [T, L, 2, bins].
function histogram({ histograms, layers }, place, t, side) {
  const { bins, offset, ranges } = histograms;
  const [low, high] = ranges[t][place][side];
  const start = offset + ((t * layers.length + place) * 2 + side) * bins;
  const width = (high - low) / bins || 1;
  return { low, width, bins, shares: state.histograms.subarray(start, start + bins) };
}

const sideName = (entry, side) =>
  `${side ? "output" : "input"} of the ${entry.nonlinearity ?? "nonlinearity"}`;
const placeOf = (entry) => entry.layers.indexOf(layerOf(entry));

// Time to the right, values upwards: each histogram is spread over a grid of values.
function overTime(entry, side) {
  const { steps } = entry.histograms;
  const all = steps.map((_, t) => histogram(entry, placeOf(entry), t, side));
  const low = Math.min(...all.map((one) => one.low));
  const high = Math.max(...all.map((one) => one.low + one.width * one.bins));
  const y = Array.from({ length: 120 }, (_, i) => low + ((i + 0.5) * (high - low)) / 120);
  const z = y.map((value) => all.map((one) => one.shares[Math.floor((value - one.low) / one.width)] / 255));
  return { traces: [heat(steps.map(count.format), y, z)], ends: [low, high] };
}

const heat = (x, y, z) => ({
  type: "heatmap", x, y, z, zmin: 0, zmax: 1, showscale: false,
  colorscale: [[0, css("--ground")], [0.5, "#3A9BD9"], [1, dark() ? "#fde725" : "#440154"]],
  hovertemplate: "step %{x}, %{y:.3g}: %{z:.2f} of the peak<extra></extra>",
});

function stairs(entry, place, t, side) {
  const { low, width, bins, shares } = histogram(entry, place, t, side);
  const x = Array.from({ length: bins + 1 }, (_, i) => low + i * width);
  return { x, y: [...shares, last(shares)].map((share) => share / 255) };
}

function atStep(entry, side) {
  const t = probeAt(entry.histograms.steps, viewerStep());
  const { x, y } = stairs(entry, placeOf(entry), t, side);
  const line = { ...lineOf(runOf(entry)), shape: "hv" };
  const fillcolor = translucent(line.color, 0.15);
  return {
    traces: [{ name: entry.run, legendgroup: entry.run, x, y, mode: "lines", line, fill: "tozeroy", fillcolor,
      hovertemplate: `%{x:.3g}: %{y:.2f} of the peak<extra>${entry.run}</extra>` }],
    ends: [x[0], last(x)],
  };
}

// All layers as small multiples: one trace a run, with gaps between the layers' boxes.
function allLayers(shown) {
  const side = Number(element("viewer-side").value);
  const names = state.data.layers.names.filter((name) => shown.some((entry) => layerOf(entry, name)));
  const widest = Math.max(95, ...names.map((name) => 6.8 * name.length));
  const fitting = Math.floor(element("viewer-plot").clientWidth / widest);
  const columns = Math.max(2, Math.min(12, fitting, names.length));
  const boxes = names.map((name, i) => ({ name, left: i % columns, top: -Math.floor(i / columns) }));
  const traces = shown.map((entry) => ({
    name: entry.run, x: [], y: [], customdata: [], text: [], mode: "lines", line: { ...lineOf(runOf(entry)), width: 1.2 },
    hovertemplate: `%{text}<extra>${entry.run}</extra>`,
  }));
  for (const { name, left, top } of boxes) {
    const steps = shown.map((entry, i) => {
      const place = entry.layers.findIndex((layer) => layer.name === name);
      return place < 0 ? null : [i, stairs(entry, place, probeAt(entry.histograms.steps, viewerStep()), side)];
    }).filter(Boolean);
    const xs = steps.flatMap(([, { x }]) => [x[0], last(x)]);
    const [low, high] = [Math.min(...xs), Math.max(...xs)];
    for (const [i, { x, y }] of steps) {
      const trace = traces[i];
      trace.x.push(...x.map((value) => left + (0.9 * (value - low)) / (high - low || 1)), null);
      trace.y.push(...y.map((value) => top + 0.68 * value), null);
      const range = `${name}: ${low.toPrecision(2)} to ${high.toPrecision(2)}`;
      trace.text.push(...x.map(() => range), "");
      trace.customdata.push(...x.map(() => name), null);
    }
  }
  const rows = 1 - last(boxes).top;
  const annotations = boxes.map(({ name, left, top }) => ({
    text: name, x: left, y: top + 0.7, xanchor: "left", yanchor: "bottom", showarrow: false, font: { size: 10 },
  }));
  const layout = {
    height: Math.max(340, 84 + 62 * rows), annotations, showlegend: true,
    xaxis: { visible: false, range: [-0.05, columns] }, yaxis: { visible: false, range: [1 - rows - 0.05, 1.05] },
    margin: { l: 4, r: 4, t: 28, b: 4 },
  };
  plot("viewer-plot", `all layers at step ${viewerStep()}`, traces, layout);
}

function unitOf(layer) {
  if (element("viewer-typical").checked) return layer.units.indexOf(layer.typical);
  const found = layer.units.findIndex((kept) => kept >= element("viewer-unit").valueAsNumber);
  return found < 0 ? layer.units.length - 1 : found;
}

function oneUnit(entry) {
  const layer = layerOf(entry);
  const { color, dash } = lineOf(runOf(entry));
  const traces = entry.percentiles.map((value, p) => ({
    name: `${entry.run}, ${value}th percentile`, showlegend: false,
    x: entry.steps, y: unitValues(entry, layer, p, unitOf(layer)),
    mode: entry.steps.length > 1 ? "lines" : "markers",
    line: { color, dash, width: p === entry.middle ? 2.5 : 1 },
    fill: p ? "tonexty" : "none", fillcolor: translucent(color, 0.15),
    hovertemplate: `step %{x}: %{y:.3f}<extra>${entry.run}, ${value}th</extra>`,
  }));
  return { traces, ends: traces.flatMap(({ y }) => y).filter(known) };
}

function allUnits(entry) {
  const layer = layerOf(entry);
  const z = layer.units.map((_, u) => unitValues(entry, layer, entry.middle, u));
  return { traces: [{
    type: "heatmap", x: entry.steps.map(count.format), y: layer.units.map(String), z, coloraxis: "coloraxis",
    hovertemplate: "step %{x}, unit %{y}: %{z:.3f}<extra></extra>",
  }], ends: [] };
}

// view -> {what a run shows, of input and output or of the input alone, its axes}.
const VIEWS = {
  time: { of: overTime, sides: [0, 1], category: true },
  step: { of: atStep, sides: [0, 1], overlay: true },
  unit: { of: oneUnit, sides: [0], overlay: true },
  units: { of: allUnits, sides: [0], category: true },
};

function viewerCells(kind, shown) {
  const view = VIEWS[kind];
  const layer = element("viewer-layer").value;
  const scale = element("viewer-log").checked ? "log" : "linear";
  const found = shown.flatMap((entry) => view.sides.map((side) => ({ entry, side, ...view.of(entry, side) })));
  const rangeFor = (side, ends) =>
    rangeOf(element("viewer-same").checked ? found.filter((one) => one.side === side).flatMap((one) => one.ends) : ends, "linear");
  const cells = found.map(({ entry, side, traces, ends }) => {
    const unit = kind === "unit" ? `, unit ${layerOf(entry).units[unitOf(layerOf(entry))]}` : "";
    const values = { ...axisOf(sideName(entry, side)), ...(ends.length ? { range: rangeFor(side, ends) } : {}) };
    const time = view.category ? { ...axisOf("training steps"), type: "category", nticks: 8 } : axisOf("training steps", scale);
    const axes = kind === "step"
      ? { xaxis: values, yaxis: { ...axisOf("share of the peak"), range: [0, 1.05] } }
      : { xaxis: time, yaxis: kind === "units" ? { ...axisOf(`unit of ${layer}`), type: "category", nticks: 12 } : values };
    return { title: `<b>${entry.run}</b>, ${layer}${unit}`, side, traces, ...axes };
  });
  if (!view.overlay || element("viewer-arrange").value === "side") return cells;
  return view.sides.map((side) => {
    const together = cells.filter((cell) => cell.side === side);
    const joint = rangeOf(found.filter((one) => one.side === side).flatMap((one) => one.ends), "linear");
    const axis = kind === "step" ? "xaxis" : "yaxis";
    return {
      ...together[0], title: together.map(({ title }) => title).join(" and "),
      [axis]: { ...together[0][axis], range: joint }, traces: together.flatMap(({ traces }) => traces),
    };
  });
}

function drawViewer() {
  const kind = element("viewer-show").value;
  const needs = (id, kinds) => { element(id).closest("label").hidden = !kinds.includes(kind); };
  needs("viewer-layer", ["time", "step", "unit", "units"]);
  needs("viewer-step", ["step", "layers"]);
  needs("viewer-side", ["layers"]);
  needs("viewer-unit", ["unit"]);
  needs("viewer-typical", ["unit"]);
  needs("viewer-arrange", ["step", "unit"]);
  needs("viewer-same", ["time", "step", "unit"]);
  needs("viewer-log", ["unit"]);
  element("viewer-unit").disabled = element("viewer-typical").checked;
  element("viewer-step-text").textContent = count.format(viewerStep());
  const histograms = kind in { time: 0, step: 0, layers: 0 };
  const shown = entries().filter((entry) =>
    (!histograms || entry.histograms) && (kind === "layers" || layerOf(entry)));
  const missing = entries().length
    ? "The runs chosen recorded no histograms, or have no such layer."
    : "No run was probed.";
  if (!shown.length) return plot("viewer-plot", "", [], {}, missing);
  if (kind === "layers") return allLayers(shown);
  const cells = viewerCells(kind, shown);
  const room = Math.max(1, Math.floor(element("viewer-plot").clientWidth / 280));
  const coloraxis = { cmid: 0, colorscale: [[0, "#2166ac"], [0.5, dark() ? "#2b2b2b" : "#f7f7f7"], [1, "#b2182b"]], colorbar: { title: { text: "median" }, thickness: 12 } };
  const columns = room < cells.length ? Math.min(2, room) : cells.length;
  grid("viewer-plot", `${element("viewer-layer").value}: ${element("viewer-show").selectedOptions[0].text}`,
    cells, columns, { showlegend: false, ...(kind === "units" ? { coloraxis } : {}) });
}

function showLayer(name) {
  element("viewer-layer").value = name;
  if (element("viewer-show").value === "layers") element("viewer-show").value = "step";
  redraw("activations");
}

// What the typical unit is, and what is not here.
function viewerNote({ limit, left_out: leftOut, unprobed, runs }) {
  const thinned = known(limit) ? ` Of wider layers ${plural(limit, "evenly spaced unit")} are here, for the page's size.` : "";
  const without = unprobed.length ? ` Without probes: ${unprobed.join(", ")}.` : "";
  element("viewer-units").textContent = thinned + without;
  element("viewer-left-out").hidden = leftOut.length === 0;
  element("viewer-left-out-count").textContent =
    `Activations of ${plural(runs.length, "run")} are here; left out for the page's size: ${plural(leftOut.length, "run")}, to be had by scripts/report.py --viewer_runs=NAME,NAME`;
  element("viewer-left-out-names").textContent = leftOut.join(", ");
}

function startActivations({ viewer, layers }) {
  viewerNote(viewer);
  element("viewer-controls").hidden = viewer.runs.length === 0;
  setOptions("viewer-layer", layers.names.map((name) => [name, name]), last(layers.names));
  ["left", "right"].forEach((side, i) =>
    setOptions(`${side}-run`, viewer.runs.map(({ run }) => [run, run]), viewer.pair[i]));
  Object.assign(element("viewer-step"), { max: Math.max(0, layers.steps.length - 1), value: layers.steps.length });
  element("viewer-log").checked = layers.logarithmic;
  addPanel("activations", drawViewer);
}
