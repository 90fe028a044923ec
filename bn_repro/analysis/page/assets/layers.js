// Drift and whatever else was recorded layer by layer, of every ticked run.

const isDrift = (measure) => measure === "location" || measure === "scale";
const hasMeasure = (run, measure) =>
  run.layers && (isDrift(measure) || measure in run.layers.fields);

function driftValues(run, measure) {
  const [median, lower, upper] = run.layers.drift[element("layer-start").value][measure];
  const beside = (to) => median.map((m, l) => (known(m) && known(to[l]) ? Math.abs(m - to[l]) : 0));
  return {
    y: median,
    error_y: { type: "data", symmetric: false, array: beside(upper), arrayminus: beside(lower), width: 3 },
    ends: [...lower, ...upper],
  };
}

function layerTrace(run, measure, step) {
  const { names, steps, fields } = run.layers;
  return {
    name: run.name, legendgroup: run.legend, showlegend: false,
    x: names.map((name) => state.data.layers.names.indexOf(name)),
    text: names, customdata: names.map(() => run.index),
    mode: "lines+markers", line: { ...lineOf(run), width: 1.5 }, marker: { size: 5 },
    hovertemplate: `%{text}: %{y:.4g}<extra>${run.name}</extra>`,
    ...(isDrift(measure) ? driftValues(run, measure) : { y: fields[measure][probeAt(steps, step)] }),
  };
}

function drawLayers() {
  const { names, modules, steps, measures } = state.data.layers;
  const { key, name, note } = measures.find((one) => one.key === element("layer-measure").value) ?? {};
  const step = steps[element("layer-step").valueAsNumber];
  element("layer-start").closest("label").hidden = !isDrift(key);
  element("layer-step").closest("label").hidden = isDrift(key);
  element("layer-step-text").textContent = count.format(step ?? 0);
  const chosen = chosenRuns();
  const runs = chosen.filter((run) => hasMeasure(run, key));
  const room = element("layer-plot").clientWidth / names.length > 13;
  const shown = room ? names : modules;
  const places = shown.map((_, i) => i).filter((i) => shown[i]);
  const scale = element("layer-log").checked ? "log" : "linear";
  const traces = runs.map((run) => layerTrace(run, key, step));
  // Runs that did not learn leave the axis to the others.
  const learned = traces.filter((_, i) => !["diverged", "chance"].includes(runs[i].outcome));
  const shownFully = learned.length ? learned : traces;
  const range = rangeOf(shownFully.flatMap(({ y, ends }) => ends ?? y), scale);
  const beyond = traces.filter(({ y }) => range && y.some((value) => known(value) && value > (isLog(scale) ? 10 ** range[1] : range[1])));
  const layout = {
    xaxis: {
      tickvals: places, ticktext: places.map((i) => shown[i]), range: [-0.5, names.length - 0.5],
      tickangle: names.length > 6 ? -90 : 0, tickfont: { size: names.length > 16 ? 10 : 12 },
    },
    yaxis: axisOf(name, scale, range),
  };
  const missing = chosen.length
    ? "None of the ticked runs recorded it."
    : "Tick runs in the table above to see their layers.";
  plot("layer-plot", `${name} of ${plural(runs.length, "run")}`, [...traces, ...legendTraces(runs)], layout, missing);
  const lacking = chosen.filter((run) => !hasMeasure(run, key)).map((run) => run.name);
  const listed = (what, names) => (names.length ? ` ${what}: ${names.join(", ")}.` : "");
  element("layer-note").textContent = (note ?? "") + listed("Not recorded", lacking)
    + listed("Beyond the axis, which follows the runs that learned", beyond.map((trace) => trace.name));
}

function startLayers({ layers: { starts, steps, measures } }) {
  setOptions("layer-measure", measures.map(({ key, name }) => [key, name]));
  setOptions("layer-start", starts.map((start) => [start, count.format(start)]));
  Object.assign(element("layer-step"), { max: Math.max(0, steps.length - 1), value: steps.length });
  element("layer-controls").hidden = measures.length === 0;
  addPanel("layers", drawLayers);
}
