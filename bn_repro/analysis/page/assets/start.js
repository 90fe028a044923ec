// Opens the page: the table first, then what is drawn.

async function start() {
  const data = await (await unpack("packed-values")).json();
  state.data = data;
  state.runs = data.runs.map((run, index) => ({ ...run, index }));
  state.chosen = new Set(data.chosen);
  for (const begin of [startRuns, startCurves, startSweep, startActivations, startLayers, startConfiguration]) {
    begin(data);
  }
  restoreView();
  showRows();
  state.units = new Float32Array(await (await unpack("packed-units")).arrayBuffer());
  state.histograms = new Uint8Array(await (await unpack("packed-histograms")).arrayBuffer());
  document.head.append(make("script", { textContent: await (await unpack("packed-plotly")).text() }));
  redraw();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => redraw());
  followWidth();
  for (const details of document.querySelectorAll("main details")) details.addEventListener("toggle", saveView);
  for (const button of document.querySelectorAll("figure button")) {
    button.addEventListener("click", () => { button.ariaPressed = String(button.ariaPressed !== "true"); });
  }
  for (const link of document.querySelectorAll("nav a")) link.addEventListener("click", goTo);
  if (data.watched) {
    element("watched").textContent = `Drawn at ${data.watched}, and anew every minute while runs write.`;
    setTimeout(() => location.reload(), 60_000);
  }
  document.documentElement.dataset.ready = Math.round(performance.now());
}

// How many columns there is room for depends on the width: all is drawn anew, which
// Plotly's own way of following a window would not do.
function followWidth() {
  let width = innerWidth;
  addEventListener("resize", () => {
    if (innerWidth === width) return;
    width = innerWidth;
    redraw();
  });
}

// The address keeps the view, so that a link to a section must not replace it.
function goTo(event) {
  event.preventDefault();
  const section = document.querySelector(event.target.getAttribute("href"));
  section.open = true;
  section.scrollIntoView();
}

start().catch((error) => {
  const outdated = typeof DecompressionStream === "undefined";
  element("failure").hidden = false;
  element("failure").textContent = outdated
    ? "This browser is too old for the interactive part: it needs DecompressionStream (2023)."
    : `The interactive part could not start: ${error.message}`;
  throw error;
});
