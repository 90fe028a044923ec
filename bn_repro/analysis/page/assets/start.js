// Opens the page: the table first, then Plotly, then the units of the viewer.

async function start() {
  const values = await (await unpack("packed-values")).json();
  state.runs = values.runs.map((run, index) => ({ ...run, index }));
  state.keys = values.keys;
  state.sweepKey = values.sweep_key;
  state.viewer = values.viewer;
  state.chosen = new Set(values.chosen);
  startCurves();
  startSweep();
  startLayers();
  startConfiguration();
  startOverview(values.target);
  const script = await (await unpack("packed-plotly")).text();
  document.head.append(make("script", { textContent: script }));
  redraw();
  const units = await (await unpack("packed-units")).arrayBuffer();
  state.units = new Float32Array(units);
  startActivations();
  const scheme = matchMedia("(prefers-color-scheme: dark)");
  scheme.addEventListener("change", () => redraw());
  document.documentElement.dataset.ready = Math.round(performance.now());
}

start().catch((error) => {
  const outdated = typeof DecompressionStream === "undefined";
  element("failure").hidden = false;
  element("failure").textContent = outdated
    ? "This browser is too old for the interactive part: it needs DecompressionStream (2023)."
    : `The interactive part could not start: ${error.message}`;
  throw error;
});
