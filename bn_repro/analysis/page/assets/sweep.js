// What the runs reach against one swept key, or two.

const OUTCOMES = {
  trained: ["circle", ""],
  chance: ["square-open", "at chance"],
  diverged: ["x", "diverged"],
  missed: ["triangle-up-open", "target not reached"],
  running: ["circle-open", "running, or killed"],
  interrupted: ["circle-open-dot", "interrupted"],
  failed: ["cross-open", "failed"],
  unknown: ["star-open", "not begun"],
  unmeasured: ["diamond-open", "no accuracy"],
};

function outcome(run, measure) {
  const missed = measure === "target" && ["trained", "chance"].includes(run.outcome);
  return missed && stepsToTarget(run) === null ? "missed" : run.outcome;
}

// A run's height; null where it has none and stands at the worse edge.
function height(run, measure, scale) {
  if (measure === "target") return stepsToTarget(run) ?? (outcome(run, measure) === "missed" ? run.steps : null);
  return run.outcome === "diverged" ? null : onScale([run[measure]], scale)[0];
}

// Line through the means over seeds of those that count, bars from lowest to highest.
function meanLine(arm, measure, scale) {
  const points = arm.points.map(({ x, runs }) => ({
    x,
    ys: runs.map((i) => state.runs[i])
      .filter((run) => ["trained", "chance"].includes(outcome(run, measure)))
      .map((run) => height(run, measure, scale)).filter(known),
  })).filter(({ ys }) => ys.length);
  const means = points.map(({ ys }) => mean(ys));
  return {
    name: arm.label, legendgroup: arm.label, mode: "lines", hoverinfo: "skip",
    x: points.map(({ x }) => x), y: means, line: { color: css("--soft"), dash: arm.dash, width: 1.5 },
    error_y: {
      type: "data", symmetric: false, width: 3, thickness: 1,
      array: points.map(({ ys }, i) => Math.max(...ys) - means[i]),
      arrayminus: points.map(({ ys }, i) => means[i] - Math.min(...ys)),
    },
  };
}

function marks(arm, measure, scale, edge) {
  const placed = arm.points.flatMap(({ x, runs }) => runs.map((i) => [x, state.runs[i]]));
  const runs = placed.map(([, run]) => run);
  return {
    x: placed.map(([x]) => x),
    y: runs.map((run) => height(run, measure, scale) ?? edge),
    customdata: runs.map((run) => run.index),
    text: runs.map((run) => `${run.name}: ${run.status_text}`),
    mode: "markers", showlegend: false, legendgroup: arm.label, cliponaxis: false,
    marker: {
      color: runs.map(colorOf), size: 8,
      opacity: runs.map((run) => (state.chosen.has(run.index) ? 1 : 0.55)),
      symbol: runs.map((run) => OUTCOMES[outcome(run, measure)][0]),
      line: { color: css("--ink"), width: runs.map((run) => (state.chosen.has(run.index) ? 1.5 : 0)) },
    },
    hovertemplate: `%{text}<br>%{x}: ${measure === "target" ? "%{y}" : "%{y:.4~p}"}<extra></extra>`,
  };
}

// Legend entries for the symbols that occur.
function symbolLegend(runs, measure) {
  const found = new Set(runs.map((run) => outcome(run, measure)));
  return Object.entries(OUTCOMES).filter(([name, [, label]]) => label && found.has(name))
    .map(([, [symbol, name]]) => ({
      name, x: [null], y: [null], mode: "markers", marker: { symbol, size: 8, color: css("--soft") },
    }));
}

function drawOne(sweep, measure, scale, measured) {
  const runs = sweep.arms.flatMap((arm) => arm.points.flatMap((point) => point.runs)).map((i) => state.runs[i]);
  const range = rangeOf(runs.map((run) => height(run, measure, scale)), scale) ?? [0, 1];
  // What has no height stands where it is worst.
  const worst = measure === "target" || scale === "error" ? range[1] : range[0];
  const edge = isLog(scale) ? 10 ** worst : worst;
  const traces = sweep.arms.flatMap((arm) => [meanLine(arm, measure, scale), marks(arm, measure, scale, edge)]);
  const layout = {
    showlegend: true,
    xaxis: { ...axisOf(sweep.title, sweep.logarithmic ? "log" : "linear"), ...sweep.ticks },
    yaxis: axisOf(measured, scale, range),
  };
  plot("sweep-plot", `${measured} against ${sweep.title}`, [...traces, ...symbolLegend(runs, measure)], layout);
  element("sweep-note").textContent = sweep.best.join(" ");
}

// Two keys: the mean over seeds as a heat map, an arm beside the other.
function drawTwo(sweep, measure, scale, measured) {
  const tables = sweep.arms.map(({ cells }) => sweep.y.map((_, y) => sweep.x.map((_, x) => {
    const runs = (cells[`${y},${x}`] ?? []).map((i) => state.runs[i]);
    const missed = runs.filter((run) => outcome(run, measure) === "missed").length;
    const reaching = runs.filter((run) => outcome(run, measure) !== "missed");
    const heights = reaching.map((run) => height(run, measure, scale)).filter(known);
    const names = runs.map((run) => `${run.name}: ${run.status_text}`).join("<br>");
    const mark = missed ? "▲" : runs.length && !heights.length ? "✕" : "";
    return { z: heights.length ? mean(heights) : null, names, mark, run: runs[0]?.index };
  })));
  const numberOf = (z) => (isShare(measured) ? (100 * z).toFixed(1) : count.format(z));
  const all = tables.flat(2).map(({ z }) => z).filter(known);
  const shades = isLog(scale) ? Math.log10 : (z) => z;
  const cells = tables.map((table, i) => ({
    title: sweep.arms[i].label,
    xaxis: { ...axisOf(sweep.names[0]), type: "category" },
    yaxis: { ...axisOf(sweep.names[1]), type: "category" },
    traces: [{
      type: "heatmap", x: sweep.x, y: sweep.y, coloraxis: "coloraxis",
      z: table.map((line) => line.map(({ z }) => (known(z) ? shades(z) : null))),
      text: table.map((line) => line.map(({ z, mark }) => `${known(z) ? numberOf(z) : ""} ${mark}`.trim())),
      texttemplate: "%{text}", customdata: table.map((line) => line.map(({ run }) => run)),
      hovertext: table.map((line) => line.map(({ names }) => names)), hovertemplate: "%{hovertext}<extra></extra>",
    }],
  }));
  const colorbar = { title: { text: isLog(scale) ? "log10" : measured, side: "right" }, thickness: 12 };
  const ends = all.length ? { cmin: Math.min(...all.map(shades)), cmax: Math.max(...all.map(shades)) } : {};
  const layout = { height: 340, coloraxis: { colorscale: "Viridis", colorbar, ...ends } };
  grid("sweep-plot", `${measured} against ${sweep.title}`, cells, cells.length, layout);
  element("sweep-note").textContent = "A number is the mean over seeds (accuracy or error in %) of runs that did not diverge; ✕: all of them did, or have no value yet; ▲: a run did not reach the target, and is in no mean.";
}

function drawSweep() {
  const sweep = state.data.sweeps.find(({ key }) => key === element("sweep-key").value);
  const measure = element("sweep-measure").value;
  const scale = measure === "target" ? "linear" : element("sweep-scale").value;
  const measured = element("sweep-measure").selectedOptions[0].text;
  (sweep.names ? drawTwo : drawOne)(sweep, measure, scale, measured);
}

function startSweep({ sweeps }) {
  element("sweep").hidden = sweeps.length === 0;
  if (!sweeps.length) return;
  setOptions("sweep-key", sweeps.map(({ key, title }) => [key, title]));
  addPanel("sweep", drawSweep);
}
