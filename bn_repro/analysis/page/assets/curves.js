// Accuracy and loss of the chosen runs.

const FIELDS = { accuracy: "accuracy", loss: "loss (cross-entropy)", top5: "top-5 accuracy" };
const SPLITS = { train: "training", test: "test", val: "validation" };
const STATISTICS = {
  batch: "mini-batch statistics",
  ema: "moving averages",
  population: "Algorithm 2's statistics",
};

function dataName(key) {
  const [split, statistics] = key.split(" ");
  return `${SPLITS[split] ?? split} data, ${STATISTICS[statistics] ?? statistics}`;
}

// Abscissae of a curve: steps, images or seconds.
function abscissae(run, curve, kind) {
  if (kind === "images") return curve.steps.map((step) => step * run.batch);
  return kind === "seconds" ? curve.seconds : curve.steps;
}

function curveTrace(run, i, { key, field, kind }) {
  const curve = run.curves[key];
  const finite = curve[field].filter((value) => value !== null).length;
  return {
    name: run.name,
    x: abscissae(run, curve, kind),
    y: curve[field],
    mode: finite > 1 ? "lines" : "markers",
    line: style(i),
    hovertemplate: `%{y:.4f}<extra>${run.name}</extra>`,
  };
}

// One cross where a run left the finite numbers, at its last recorded value.
function divergence(run, i, { key, field, kind }) {
  const curve = run.curves[key];
  const known = curve[field].map((value, at) => (value === null ? -1 : at));
  const at = Math.max(...known);
  if (run.status !== "diverged" || at < 0) return [];
  return [
    {
      x: [abscissae(run, curve, kind)[at]],
      y: [curve[field][at]],
      mode: "markers",
      marker: { symbol: "x", size: 11, color: style(i).color },
      showlegend: false,
      hovertemplate: `${run.status_text}<extra>${run.name}</extra>`,
    },
  ];
}

// Mean, lowest and highest value of several runs at each step that any of them recorded.
function average(runs, { key, field, kind }) {
  const points = new Map();
  for (const run of runs) {
    const curve = run.curves[key];
    const xs = abscissae(run, curve, kind);
    curve[field].forEach((value, at) => {
      if (value === null) return;
      const step = curve.steps[at];
      if (!points.has(step)) points.set(step, []);
      points.get(step).push([xs[at], value]);
    });
  }
  const mean = (values) => values.reduce((sum, v) => sum + v, 0) / values.length;
  return [...points.keys()].sort((a, b) => a - b).map((step) => {
    const values = points.get(step).map(([, value]) => value);
    return {
      x: mean(points.get(step).map(([x]) => x)),
      mean: mean(values),
      low: Math.min(...values),
      high: Math.max(...values),
    };
  });
}

function bandTraces(name, runs, i, options) {
  const points = average(runs, options);
  const xs = points.map((point) => point.x);
  const { color, dash } = style(i);
  const shared = { x: xs, mode: "lines", legendgroup: name };
  const edge = { ...shared, line: { width: 0 }, hoverinfo: "skip", showlegend: false };
  return [
    { ...edge, y: points.map((point) => point.low) },
    {
      ...edge,
      y: points.map((point) => point.high),
      fill: "tonexty",
      fillcolor: translucent(color, 0.2),
    },
    {
      ...shared,
      name: `${name} (${plural(runs.length, "run")})`,
      y: points.map((point) => point.mean),
      line: { color, dash },
      hovertemplate: `%{y:.4f}<extra>${name}</extra>`,
    },
  ];
}

function groupBy(items, keyOf) {
  const groups = new Map();
  for (const item of items) {
    const key = keyOf(item);
    if (!groups.has(key)) groups.set(key, []);
    groups.get(key).push(item);
  }
  return [...groups];
}

function drawCurves() {
  const options = {
    key: element("curve-data").value,
    field: element("curve-field").value,
    kind: element("curve-x").value,
  };
  const runs = chosenRuns();
  const drawn = runs.filter((run) => run.curves[options.key]?.[options.field]);
  const traces = element("curve-mean").checked
    ? groupBy(drawn, (run) => run.variant).flatMap(([name, group], i) =>
        bandTraces(name, group, i, options))
    : drawn.flatMap((run, i) => [curveTrace(run, i, options), ...divergence(run, i, options)]);
  const label = `${FIELDS[options.field]} on ${dataName(options.key)}`;
  const missing = runs.length
    ? "None of the ticked runs recorded this."
    : "Tick runs in the table above to see their curves.";
  const layout = {
    ...withLegend(drawn.length),
    hovermode: drawn.length > 12 ? "closest" : "x unified",
    xaxis: axisTitle(options.kind === "seconds" ? "seconds of training" : `training ${options.kind}`),
    yaxis: axisTitle(FIELDS[options.field], element("curve-log").checked),
  };
  plot("curve-plot", `${label} of ${plural(drawn.length, "run")}`, traces, layout, missing);
  const lacking = runs.filter((run) => !drawn.includes(run)).map((run) => run.name);
  const others = drawn.length && lacking.length ? `Not recorded by: ${lacking.join(", ")}.` : "";
  element("curve-note").textContent = legendNote(drawn.length) + others;
}

function startCurves() {
  const keys = [...new Set(state.runs.flatMap((run) => Object.keys(run.curves)))];
  const held = state.runs.map((run) => run.held_out).find(Boolean);
  setOptions("curve-data", keys.map((key) => [key, dataName(key)]), held);
  const recorded = Object.entries(FIELDS).filter(([field]) =>
    state.runs.some((run) => Object.values(run.curves).some((curve) => curve[field])));
  setOptions("curve-field", recorded, "accuracy");
  onInput(["curve-field", "curve-data", "curve-x", "curve-mean", "curve-log"], () => redraw("curves"));
  addPanel("curves", drawCurves);
}
