// Drift, gradients and saturation layer by layer, of every chosen run.

const MEASURES = {
  location: "location drift, in spreads",
  scale: "scale drift, ln(largest / smallest spread)",
  gradient_norm: "norm of the weights' gradient",
  saturated: "share of saturated outputs",
};
const isDrift = (measure) => measure === "location" || measure === "scale";

// The probe at or before a step; the first one if there is none.
const probeAt = (layers, step) =>
  Math.max(0, layers.steps.filter((probed) => probed <= step).length - 1);

function driftTrace(run, measure) {
  const start = element("layer-start").value;
  const [median, lower, upper] = run.layers.drift[start][measure];
  const beside = (to) => median.map((m, l) => (m === null || to[l] === null ? 0 : Math.abs(m - to[l])));
  return {
    y: median,
    error_y: { type: "data", symmetric: false, array: beside(upper), arrayminus: beside(lower), width: 3 },
  };
}

function layerTrace(run, i, measure) {
  const step = Number(element("layer-step").value);
  const probed = isDrift(measure) ? null : probeAt(run.layers, step);
  const values = isDrift(measure) ? driftTrace(run, measure) : { y: run.layers[measure][probed] };
  return {
    name: run.name,
    x: run.layers.names,
    mode: "lines+markers",
    line: { ...style(i), width: 1.5 },
    hovertemplate: `%{x}: %{y:.4g}<extra>${run.name}</extra>`,
    ...values,
  };
}

const hasMeasure = (run, measure) => run.layers && (isDrift(measure) || measure in run.layers);

function layerNote(measure, runs) {
  const lacking = runs.filter((run) => !hasMeasure(run, measure)).map((run) => run.name);
  const parts = {
    location: "Location drift: (max - min of a unit's median over the training) / (mean of its 15-85 percentile spread). Median over the layer's units, bars from quartile to quartile.",
    scale: "Scale drift: ln(largest / smallest 15-85 percentile spread over the training). Median over the layer's units, bars from quartile to quartile.",
    gradient_norm: "The norm of the loss's gradient with respect to the layer's weights, at the probe at or before the step.",
    saturated: "The share of the nonlinearity's outputs whose slope is nearly zero, at the probe at or before the step.",
  };
  const missing = isDrift(measure) ? " Gaps: dead (the inputs hardly differ between examples), or not recorded over the steps that all finished runs cover." : "";
  return parts[measure] + missing + (lacking.length ? ` Not recorded: ${lacking.join(", ")}.` : "");
}

function drawLayers() {
  const measure = element("layer-measure").value;
  element("layer-start-label").hidden = !isDrift(measure);
  element("layer-step-label").hidden = isDrift(measure);
  const chosen = chosenRuns();
  const runs = chosen.filter((run) => hasMeasure(run, measure));
  const steps = [...new Set(runs.flatMap((run) => run.layers.steps))].sort((a, b) => a - b);
  updateOptions("layer-step", steps.map((step) => [step, count.format(step)]), last(steps));
  const traces = runs.map((run, i) => layerTrace(run, i, measure));
  const layout = {
    ...withLegend(traces.length),
    hovermode: "closest",
    xaxis: { type: "category" },
    yaxis: axisTitle(MEASURES[measure], element("layer-log").checked),
  };
  const missing = chosen.length
    ? "None of the ticked runs recorded it."
    : "Tick runs in the table above to see their layers.";
  plot("layer-plot", `${MEASURES[measure]} of ${plural(runs.length, "run")}`, traces, layout, missing);
  element("layer-note").textContent = legendNote(traces.length) + layerNote(measure, chosen);
}

function startLayers() {
  const probed = state.runs.find((run) => run.layers);
  const starts = Object.keys(probed?.layers.drift ?? {});
  setOptions("layer-start", starts.map((start) => [start, count.format(start)]), starts[0]);
  onInput(["layer-measure", "layer-start", "layer-step", "layer-log"], () => redraw("layers"));
  addPanel("layers", drawLayers);
}
