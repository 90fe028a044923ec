// The table of runs: what is shown, in which order, and which runs are drawn.

const FORMATS = {
  text, number: text, percent, count: count.format,
  duration: (seconds) => {
    if (seconds < 120) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
    const minutes = Math.round(seconds / 60);
    return minutes < 120 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
  },
};

function stepsToTarget(run) {
  const curve = run.curves[run.held_out];
  if (!curve || state.target === null) return null;
  // Both were rounded to five digits on their way here.
  const reached = curve.accuracy.findIndex((value) => known(value) && value >= state.target - 1e-9);
  return reached < 0 ? null : curve.steps[reached];
}

function valueIn(column, run) {
  if (column.field === "to_target") return stepsToTarget(run);
  return column.key ? run.config[column.key] : run[column.field];
}

function cellText(column, run) {
  const value = valueIn(column, run);
  if (known(value)) return FORMATS[column.kind](value);
  if (column.field !== "to_target" || state.target === null || !run.held_out) return "–";
  return run.status === "diverged" ? "diverged" : "not reached";
}

// Numbers by size, names as people count (seed 2 before 10), what is missing last.
function compare(column, a, b) {
  const [x, y] = [valueIn(column, a), valueIn(column, b)];
  if (!known(x) || !known(y)) return known(y) - known(x);
  const order = typeof x === "number" && typeof y === "number"
    ? x - y
    : text(x).localeCompare(text(y), "en", { numeric: true });
  return state.sort.descending ? -order : order;
}

// What stands left of an operator: a column without its spaces, or the end of a key.
function values(run, name) {
  const plain = (label) => label.toLowerCase().replace(/ /g, "");
  const column = state.data.columns.find(({ label }) =>
    plain(label) === name || plain(label).replace(/accuracy$/, "") === name);
  if (column) {
    const value = valueIn(column, run);
    return [column.kind === "percent" && known(value) ? 100 * value : value];
  }
  return Object.keys(run.config).filter((key) =>
    `.${key}`.toLowerCase().endsWith(`.${name}`)).map((key) => run.config[key]);
}

const OPERATORS = {
  "=": (a, b) => a === b, "!=": (a, b) => a !== b,
  ">": (a, b) => a > b, "<": (a, b) => a < b, ">=": (a, b) => a >= b, "<=": (a, b) => a <= b,
};

function holds(run, word) {
  const [, name, operator, wanted] = word.match(/^([\w.]+)(!=|>=|<=|=|>|<)(.+)$/) ?? [];
  if (!name) {
    return state.data.columns.some((column) => cellText(column, run).toLowerCase().includes(word));
  }
  const number = Number(wanted.replace(/[%,]/g, ""));
  return values(run, name).some((value) =>
    typeof value === "number" && !Number.isNaN(number)
      ? OPERATORS[operator](value, number)
      : known(value) && operator.includes("=") && OPERATORS[operator](text(value).toLowerCase(), wanted));
}

// "bn final>97 or not finished": all words between two "or" must hold.
function matches(run, filter) {
  return filter.split(/\s+or\s+/).some((part) => {
    const words = part.replace(/(^|\s)not\s+/g, "$1!").split(/\s+/).filter(Boolean);
    return words.every((word) =>
      word.startsWith("!") ? !holds(run, word.slice(1)) : holds(run, word));
  });
}

function shownRuns() {
  const filter = element("filter").value.toLowerCase().trim();
  const shown = state.runs.filter((run) => matches(run, filter));
  const column = state.data.columns[state.sort.column];
  if (state.sort.on && column) shown.sort((a, b) => compare(column, a, b));
  return shown;
}

function sortBy(column) {
  const { on, column: before, descending } = state.sort;
  state.sort = { on: true, column, descending: on && before === column && !descending };
  showRows();
}

const isNumber = (column) => column.kind !== "text";

function showHead() {
  const heads = state.data.columns.map((column, i) => {
    const button = make("button", { type: "button", textContent: column.label });
    button.addEventListener("click", () => sortBy(i));
    const head = make("th", { scope: "col", title: column.key ?? "" }, button);
    head.classList.toggle("number", isNumber(column));
    return head;
  });
  const tick = make("th", { scope: "col", className: "tick", textContent: "Plot" });
  element("runs").tHead.replaceChildren(make("tr", {}, tick, ...heads));
}

function row(run) {
  const box = make("input", { type: "checkbox", checked: state.chosen.has(run.index) });
  box.setAttribute("aria-label", `plot ${run.name}`);
  box.addEventListener("change", () => choose([run], box.checked));
  const swatch = make("span", { className: "swatch" });
  swatch.style.cssText = `--light: ${run.colors[0]}; --dark: ${run.colors[1]}`;
  const cells = state.data.columns.map((column, i) => {
    const cell = make(i ? "td" : "th", { textContent: cellText(column, run) });
    if (!i) cell.scope = "row";
    if (!i) cell.prepend(swatch);
    if (column.field === "status_text") cell.classList.add(run.status);
    cell.classList.toggle("number", isNumber(column));
    return cell;
  });
  return make("tr", {}, make("td", { className: "tick" }, box), ...cells);
}

function showRows() {
  const shown = shownRuns();
  const { on, column, descending } = state.sort;
  element("runs").tBodies[0].replaceChildren(...shown.map(row));
  state.data.columns.forEach((_, i) => {
    const head = element("runs").tHead.rows[0].cells[i + 1];
    head.ariaSort = on && column === i ? (descending ? "descending" : "ascending") : "none";
  });
  element("counts").textContent =
    `${count.format(shown.length)} of ${plural(state.runs.length, "run")} shown, ${state.chosen.size} plotted`;
  saveView();
}

// Ticks runs, or takes their ticks away, wherever they are drawn.
function choose(runs, drawn) {
  for (const run of runs) state.chosen[drawn ? "add" : "delete"](run.index);
  showRows();
  redraw();
}

function setTarget(accuracy, name) {
  state.target = accuracy;
  element("target").value = known(accuracy) ? Number((100 * accuracy).toFixed(3)) : "";
  element("target-run").value = name ?? "";
}

function startRuns({ target, columns, held_out: heldOut }) {
  const bests = state.runs.filter((run) => known(run.best) && run.status !== "diverged");
  const options = bests.map((run) => [run.name, `${run.name}: ${percent(run.best)}`]);
  setOptions("target-run", [["", "(a number)"], ...options]);
  setTarget(target);
  element("accuracy-note").textContent = heldOut;
  showHead();
  showRows();
  onChange(element("filter"), showRows);
  onChange(element("target"), () => {
    const typed = element("target").valueAsNumber;
    state.target = Number.isFinite(typed) ? typed / 100 : null;
    element("target-run").value = "";
  });
  onChange(element("target-run"), () => {
    const run = state.runs.find((one) => one.name === element("target-run").value);
    if (run) setTarget(run.best, run.name);
  });
  for (const id of ["target", "target-run"]) {
    onChange(element(id), () => { showRows(); redraw(...(panels.has("sweep") ? ["sweep"] : [])); });
  }
  element("choose-shown").addEventListener("click", () => choose(shownRuns(), true));
  element("choose-none").addEventListener("click", () => choose(state.runs, false));
}
