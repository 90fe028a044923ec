// What was recorded over the training of the ticked runs.

// Abscissae of a curve: steps, images or seconds.
function abscissae(run, curve, kind) {
  if (kind === "images") return curve.steps.map((step) => step * run.batch);
  return kind === "seconds" ? curve.seconds : curve.steps;
}

// The exponential average over the evaluations so far, which begins without a lag.
function smoothed(values, share) {
  let [sum, weight] = [0, 0];
  return values.map((value) => {
    if (!known(value)) return null;
    sum = share * sum + (1 - share) * value;
    weight = share * weight + (1 - share);
    return sum / weight;
  });
}

function curveTrace(run, { key, field, kind, scale, share }) {
  const curve = run.curves[key];
  const y = onScale(smoothed(curve[field], share), scale);
  const mark = ["finished", "diverged"].includes(run.status) ? "" : ` (${run.status})`;
  return {
    name: run.name + mark, legendgroup: run.legend, showlegend: false,
    customdata: curve.steps.map(() => run.index),
    x: abscissae(run, curve, kind), y,
    mode: y.filter(known).length > 1 ? "lines" : "markers",
    line: { ...lineOf(run), width: 1.6 },
    hovertemplate: `%{x}: ${hoverY(state.data.fields[field])}<extra>${run.name}${mark}</extra>`,
  };
}

// A mark at the last value of a run that left the finite numbers, failed or goes on.
function ending(run, trace) {
  const at = trace.y.findLastIndex(known);
  if (run.status === "finished" || at < 0) return [];
  const [symbol] = OUTCOMES[run.status] ?? OUTCOMES.unknown;
  return [{
    ...trace, x: [trace.x[at]], y: [trace.y[at]], customdata: [run.index], mode: "markers",
    marker: { symbol, size: 10, color: colorOf(run) }, name: `${run.name}: ${run.status}`,
    hovertemplate: `${run.status_text}<extra>${run.name}</extra>`,
  }];
}

// Mean, lowest and highest of several curves at each step that any of them recorded;
// of runs that did not finish only where none did.
function bandTraces(label, runs, options) {
  const points = new Map();
  for (const run of runs) {
    const { x, y } = curveTrace(run, options);
    run.curves[options.key].steps.forEach((step, at) => {
      if (known(y[at])) points.set(step, [...(points.get(step) ?? []), [x[at], y[at]]]);
    });
  }
  const steps = [...points.keys()].sort((a, b) => a - b);
  const ys = steps.map((step) => points.get(step).map(([, y]) => y));
  const x = steps.map((step) => mean(points.get(step).map(([one]) => one)));
  const shared = { x, mode: "lines", legendgroup: runs[0].legend, showlegend: false };
  const edge = { ...shared, line: { width: 0 }, hoverinfo: "skip" };
  return [
    { ...edge, y: ys.map((row) => Math.min(...row)) },
    { ...edge, y: ys.map((row) => Math.max(...row)), fill: "tonexty", fillcolor: translucent(colorOf(runs[0]), 0.2) },
    { ...shared, y: ys.map(mean), line: lineOf(runs[0]), name: `${label} (${plural(runs.length, "run")})`,
      hovertemplate: `%{x}: ${hoverY(state.data.fields[options.field])}<extra>${label}</extra>` },
  ];
}

function drawCurves() {
  const { curves, fields, groups } = state.data;
  const options = {
    key: element("curve-data").value,
    field: element("curve-field").value,
    kind: element("curve-x").value,
    scale: element("curve-scale").value,
    share: element("curve-smooth").valueAsNumber,
  };
  if (options.scale === "error" && !isShare(fields[options.field])) options.scale = "log";
  const runs = chosenRuns();
  const drawn = runs.filter((run) => run.curves[options.key]?.[options.field]);
  const single = drawn.map((run) => curveTrace(run, options));
  const traces = element("curve-mean").checked
    ? groups.flatMap(({ label, runs: places }) => {
      const all = drawn.filter((run) => places.includes(run.index));
      const done = all.filter((run) => run.status === "finished");
      const members = done.length ? done : all;
      return members.length ? bandTraces(label, members, options) : [];
    })
    : drawn.flatMap((run, i) => [single[i], ...ending(run, single[i])]);
  // A run that diverged leaves the axis to the others.
  const lasting = single.filter((_, i) => drawn[i].status !== "diverged");
  const range = rangeOf((lasting.length ? lasting : single).flatMap(({ y }) => y), options.scale);
  const layout = {
    xaxis: axisOf(options.kind === "seconds" ? "seconds of training" : `training ${options.kind}`),
    yaxis: axisOf(fields[options.field], options.scale, range),
  };
  const missing = runs.length
    ? "None of the ticked runs recorded this."
    : "Tick runs in the table above to see their curves.";
  const label = `${fields[options.field]} on ${curves[options.key]} of ${plural(drawn.length, "run")}`;
  plot("curve-plot", label, [...traces, ...legendTraces(drawn)], layout, missing);
  const lacking = runs.filter((run) => !drawn.includes(run)).map((run) => run.name);
  element("curve-note").textContent =
    drawn.length && lacking.length ? `Not recorded by: ${lacking.join(", ")}.` : "";
}

function startCurves({ curves, fields }) {
  setOptions("curve-data", Object.entries(curves));
  setOptions("curve-field", Object.entries(fields), "accuracy");
  addPanel("curves", drawCurves);
}
