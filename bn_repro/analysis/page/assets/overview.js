// The table of runs: what is shown, in which order, and which runs are drawn.

const sorting = { column: null, descending: false };
let columns = [];

function overviewColumns() {
  // Few enough keys get a column each; the filter finds all of them.
  const others = state.keys.filter((key) => key !== "optimizer.learning_rate");
  const keys = others.length <= 4 ? others : [];
  return [
    { label: "Run", value: (run) => run.name },
    { label: "Variant", value: (run) => run.variant },
    { label: "Status", value: (run) => run.status_text, style: (run) => run.status },
    ...keys.map((key) => ({
      label: shortKey(key),
      title: key,
      value: (run) => run.config[key] ?? null,
      show: text,
      number: state.runs.every((run) => typeof run.config[key] === "number"),
    })),
    { label: "Rate", title: "optimizer.learning_rate", value: (run) => run.rate, show: text, number: true },
    { label: "Seed", value: (run) => run.seed, show: text, number: true },
    { label: "Best accuracy", value: (run) => run.best, show: percent, number: true },
    { label: "Steps to target", value: stepsToTarget, show: count.format, missing: whyNot, number: true },
    { label: "Time", value: (run) => run.seconds, show: duration, number: true },
  ];
}

function whyNot(run) {
  if (state.target === null || !run.held_out) return "–";
  return run.status === "diverged" ? "diverged" : "not reached";
}

function cellText(column, run) {
  const value = column.value(run);
  if (value === null || value === undefined) return column.missing?.(run) ?? "–";
  return column.show ? column.show(value) : String(value);
}

// Numbers by size, names as people count (seed 2 before 10), what is missing last.
function compare(column, a, b) {
  const [x, y] = [column.value(a), column.value(b)];
  const lacking = (v) => v === null || v === undefined;
  if (lacking(x) || lacking(y)) return lacking(x) - lacking(y);
  const order =
    typeof x === "number" && typeof y === "number"
      ? x - y
      : text(x).localeCompare(text(y), "en", { numeric: true });
  return sorting.descending ? -order : order;
}

// A word is found in any cell; key=value is that very value, of any key that differs.
function matches(run, words) {
  const cells = columns.map((column) => cellText(column, run)).join(" ").toLowerCase();
  const pairs = ["seed", ...state.keys].map((key) =>
    `${key}=${text(run.config[key])}`.toLowerCase());
  return words.every((word) =>
    word.includes("=") ? pairs.some((pair) => pair.endsWith(word)) : cells.includes(word));
}

function shownRuns() {
  const words = element("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
  const shown = state.runs.filter((run) => matches(run, words));
  if (sorting.column) shown.sort((a, b) => compare(sorting.column, a, b));
  return shown;
}

function sortBy(column) {
  sorting.descending = sorting.column === column && !sorting.descending;
  sorting.column = column;
  showRows();
}

function showHead() {
  const heads = columns.map((column) => {
    const button = make("button", { type: "button", textContent: column.label });
    button.addEventListener("click", () => sortBy(column));
    const head = make("th", { scope: "col", title: column.title ?? "" }, button);
    head.classList.toggle("number", Boolean(column.number));
    return head;
  });
  const tick = make("th", { scope: "col", className: "tick", textContent: "Plot" });
  element("runs").tHead.replaceChildren(make("tr", {}, tick, ...heads));
}

function row(run) {
  const box = make("input", { type: "checkbox", checked: state.chosen.has(run.index) });
  box.setAttribute("aria-label", `plot ${run.name}`);
  box.addEventListener("change", () => choose([run], box.checked));
  const cells = columns.map((column, i) => {
    const cell = make(i ? "td" : "th", { textContent: cellText(column, run) });
    if (!i) cell.scope = "row";
    if (column.style) cell.classList.add(column.style(run));
    cell.classList.toggle("number", Boolean(column.number));
    return cell;
  });
  return make("tr", {}, make("td", { className: "tick" }, box), ...cells);
}

function showRows() {
  const shown = shownRuns();
  element("runs").tBodies[0].replaceChildren(...shown.map(row));
  columns.forEach((column, i) => {
    const order = sorting.descending ? "descending" : "ascending";
    const head = element("runs").tHead.rows[0].cells[i + 1];
    head.setAttribute("aria-sort", column === sorting.column ? order : "none");
  });
  showCounts(shown.length);
}

function showCounts(shown) {
  const runs = plural(state.runs.length, "run");
  element("counts").textContent =
    `${count.format(shown)} of ${runs} shown, ${state.chosen.size} plotted`;
}

function choose(runs, drawn) {
  for (const run of runs) state.chosen[drawn ? "add" : "delete"](run.index);
  showCounts(element("runs").tBodies[0].rows.length);
  redraw();
}

function setTarget(accuracy, name) {
  state.target = accuracy;
  element("target").value = accuracy === null ? "" : Number((100 * accuracy).toFixed(3));
  element("target-run").value = name ?? "";
  showRows();
  redraw("sweep");
}

function startOverview(target) {
  columns = overviewColumns();
  const bests = state.runs.filter((run) => run.best !== null);
  const options = bests.map((run) => [run.name, `${run.name}: ${percent(run.best)}`]);
  setOptions("target-run", [["", "(a number)"], ...options], target?.run);
  showHead();
  setTarget(target?.accuracy ?? null, target?.run);
  onInput(["filter"], showRows);
  onInput(["target"], () => {
    const typed = element("target").valueAsNumber;
    state.target = Number.isFinite(typed) ? typed / 100 : null;
    element("target-run").value = "";
    showRows();
    redraw("sweep");
  });
  onInput(["target-run"], () => {
    const run = state.runs.find((r) => r.name === element("target-run").value);
    if (run) setTarget(run.best, run.name);
  });
  element("choose-shown").addEventListener("click", () => {
    choose(shownRuns(), true);
    showRows();
  });
  element("choose-none").addEventListener("click", () => {
    choose(state.runs, false);
    showRows();
  });
}
