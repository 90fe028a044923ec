// Where the ticked runs' configurations differ, and all that is known of one run.

function drawDifferences() {
  const runs = chosenRuns();
  const keys = ["seed", ...state.data.keys].filter(
    (key) => new Set(runs.map((run) => text(run.config[key]))).size > 1);
  const cells = (tag, scope, texts) => texts.map((textContent) => make(tag, { textContent, ...(scope && { scope }) }));
  const head = make("tr", {}, ...cells("th", "col", ["Key", ...runs.map((run) => run.name)]));
  const rows = keys.map((key) => make("tr", {}, ...cells("th", "row", [key]),
    ...cells("td", "", runs.map((run) => text(run.config[key])))));
  element("differences").replaceChildren(
    ...(keys.length ? [make("thead", {}, head), make("tbody", {}, ...rows)] : []));
  element("difference-note").textContent = keys.length
    ? `${plural(keys.length, "key")} of ${plural(Object.keys(runs[0].config).length, "key")} differ.`
    : runs.length < 2
      ? "Tick two runs or more in the table above to compare them."
      : "The ticked runs have the same configuration.";
  const run = state.runs.find((one) => one.name === element("manifest-run").value);
  const shown = { status: run.state, manifest: run.manifest, config: run.config };
  element("manifest").textContent = JSON.stringify(shown, null, 2);
}

function startConfiguration() {
  setOptions("manifest-run", state.runs.map((run) => [run.name, run.name]));
  addPanel("configuration", drawDifferences);
}
