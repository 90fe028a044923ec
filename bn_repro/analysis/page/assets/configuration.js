// Where the chosen runs' configurations differ, and all that is known of one run.

function drawDifferences() {
  const runs = chosenRuns();
  const keys = ["seed", ...state.keys].filter(
    (key) => new Set(runs.map((run) => text(run.config[key]))).size > 1);
  const heads = ["Key", ...runs.map((run) => run.name)];
  const head = make("tr", {}, ...heads.map((name) => make("th", { scope: "col", textContent: name })));
  const rows = keys.map((key) =>
    make("tr", {}, make("th", { scope: "row", textContent: key }),
      ...runs.map((run) => make("td", { textContent: text(run.config[key]) }))));
  element("differences").replaceChildren(
    ...(keys.length ? [make("thead", {}, head), make("tbody", {}, ...rows)] : []));
  element("difference-note").textContent = keys.length
    ? `${plural(keys.length, "key")} of ${plural(Object.keys(runs[0].config).length, "key")} differ.`
    : runs.length < 2
      ? "Tick two runs or more in the table above to compare them."
      : "The ticked runs have the same configuration.";
}

function showManifest() {
  const run = state.runs.find((one) => one.name === element("manifest-run").value);
  const shown = { status: run.state, manifest: run.manifest, config: run.config };
  element("manifest").textContent = JSON.stringify(shown, null, 2);
}

function startConfiguration() {
  setOptions("manifest-run", state.runs.map((run) => [run.name, run.name]));
  onInput(["manifest-run"], showManifest);
  showManifest();
  addPanel("configuration", drawDifferences);
}
