// What the runs reach against a key of the configuration that was swept.

const SYMBOLS = { trained: "circle", chance: "square-open", diverged: "x", missed: "triangle-up-open" };
const OUTCOMES = {
  chance: "at chance",
  diverged: "diverged",
  missed: "target not reached",
};

// Keys with at least two different numbers.
function sweptKeys() {
  return state.keys.filter((key) => {
    const values = state.runs.map((run) => run.config[key]);
    return new Set(values.filter((value) => typeof value === "number")).size > 1;
  });
}

function outcome(run, measure) {
  if (run.status === "diverged") return "diverged";
  if (measure === "target" && stepsToTarget(run) === null) return "missed";
  return run.at_chance ? "chance" : "trained";
}

// A run's height; one that diverged is at the bottom, one that missed at its last step.
function height(run, measure) {
  if (measure === "target") {
    return stepsToTarget(run) ?? (run.status === "diverged" ? null : run.steps);
  }
  if (run.status === "diverged") return 0;
  return measure === "best" ? run.best : run.final;
}

// Runs that differ in the swept key and the seed only, named by what else differs.
function sweepSeries(runs, key) {
  const others = state.keys.filter((other) => other !== key);
  const groups = groupBy(runs, (run) => JSON.stringify(others.map((k) => run.config[k])));
  const differing = others.filter(
    (other) => new Set(groups.map(([, group]) => text(group[0].config[other]))).size > 1);
  // With BN first, which gives it the colour that it has in the figures.
  const plain = ([, group]) => group[0].config["model.norm"] === "none";
  groups.sort((a, b) => plain(a) - plain(b));
  return groups.map(([, group]) => {
    const named = differing.length && differing.length <= 3;
    return { name: named ? statement(group[0], differing) : commonName(group), runs: group };
  });
}

function commonName(runs) {
  const names = runs.map((run) => run.variant);
  let length = 0;
  while (length < names[0].length && names.every((name) => name[length] === names[0][length])) {
    length++;
  }
  return names[0].slice(0, length).replace(/[_\-/.]+$/, "") || names[0];
}

// The line through the means of the runs that neither diverged nor missed the target.
function meanLine(series, key, measure, i) {
  const good = series.runs.filter(
    (run) => ["trained", "chance"].includes(outcome(run, measure)) && height(run, measure) !== null);
  const points = groupBy(good, (run) => run.config[key])
    .map(([x, runs]) => [x, runs.map((run) => height(run, measure))])
    .sort(([a], [b]) => a - b);
  const means = points.map(([, ys]) => ys.reduce((sum, y) => sum + y, 0) / ys.length);
  const above = points.map(([, ys], at) => Math.max(...ys) - means[at]);
  const below = points.map(([, ys], at) => means[at] - Math.min(...ys));
  return {
    name: series.name,
    x: points.map(([x]) => x),
    y: means,
    mode: "lines",
    line: style(i),
    error_y: { type: "data", symmetric: false, array: above, arrayminus: below, width: 3 },
    hoverinfo: "skip",
    legendgroup: series.name,
  };
}

function marks(series, key, measure, i) {
  const runs = series.runs.filter((run) => height(run, measure) !== null);
  return {
    x: runs.map((run) => run.config[key]),
    y: runs.map((run) => height(run, measure)),
    text: runs.map((run) => `${run.name}: ${run.status_text}`),
    mode: "markers",
    marker: {
      color: style(i).color,
      size: 8,
      symbol: runs.map((run) => SYMBOLS[outcome(run, measure)]),
    },
    cliponaxis: false,
    showlegend: false,
    legendgroup: series.name,
    hovertemplate: "%{text}<br>%{y}<extra></extra>",
  };
}

// Legend entries for the symbols that occur.
function symbolLegend(runs, measure) {
  const found = new Set(runs.map((run) => outcome(run, measure)));
  return Object.keys(OUTCOMES)
    .filter((name) => found.has(name))
    .map((name) => ({
      name: OUTCOMES[name],
      x: [null],
      y: [null],
      mode: "markers",
      marker: { symbol: SYMBOLS[name], size: 8, color: css("--soft") },
    }));
}

function isSpread(values) {
  const positive = values.every((value) => value > 0);
  return positive && Math.max(...values) / Math.min(...values) >= 20;
}

function drawSweep() {
  const key = element("sweep-key").value;
  const measure = element("sweep-measure").value;
  const pool = element("sweep-chosen").checked ? chosenRuns() : state.runs;
  const runs = key ? pool.filter((run) => typeof run.config[key] === "number") : [];
  const series = sweepSeries(runs, key);
  const traces = series.flatMap((one, i) => [
    meanLine(one, key, measure, i),
    marks(one, key, measure, i),
  ]);
  if (runs.length) traces.push(...symbolLegend(runs, measure));
  const measured = element("sweep-measure").selectedOptions[0].text;
  const logarithmic = runs.length > 0 && isSpread(runs.map((run) => run.config[key]));
  const layout = {
    height: 440,
    hovermode: "closest",
    showlegend: true,
    xaxis: axisTitle(key, logarithmic),
    yaxis: axisTitle(measured),
  };
  if (measure !== "target") layout.yaxis.range = [-0.02, 1.02];
  const missing = key
    ? "Tick runs in the table above, or show all."
    : "Nothing was swept here: no number in the configuration but the seed differs between runs.";
  plot("sweep-plot", `${measured} against ${key}`, traces, layout, missing);
  element("sweep-note").textContent = runs.length ? sweepNote(runs, measure) : "";
}

function sweepNote(runs, measure) {
  const parts = ["One mark a run; lines through the means over seeds, bars from the lowest to the highest, without runs that diverged."];
  if (measure === "target") {
    const diverged = runs.filter((run) => height(run, measure) === null).length;
    parts.push("A triangle stands at the steps that a run did without reaching the target.");
    if (diverged) parts.push(`${plural(diverged, "run")} diverged before reaching it.`);
  } else if (runs.some((run) => run.status === "diverged")) {
    parts.push("A run that diverged stands at 0.");
  }
  if (runs.some((run) => outcome(run, measure) === "chance")) {
    parts.push("At chance: a final accuracy of no more than guessing gives.");
  }
  return parts.join(" ");
}

function startSweep() {
  const keys = sweptKeys();
  element("sweep-controls").hidden = keys.length === 0;
  setOptions("sweep-key", keys.map((key) => [key, key]), state.sweepKey);
  onInput(["sweep-key", "sweep-measure", "sweep-chosen"], () => redraw("sweep"));
  addPanel("sweep", drawSweep);
}
