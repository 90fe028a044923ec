// What differs from how the page opened stands in the address: a view can be shared.
const opened = new Map();
const valueOf = (control) =>
  String({ DETAILS: control.open }[control.tagName]
    ?? (control.type === "checkbox" ? control.checked : control.value));
const chosenText = () => chosenRuns().map((run) => run.name).join(",");

function currentView() {
  const view = new Map([...controls()].map((control) => [control.id, valueOf(control)]));
  view.set("ticked", chosenText());
  return view.set("sort", state.sort.on ? `${state.sort.column}${state.sort.descending ? "d" : "a"}` : "");
}

function saveView() {
  if (!opened.size) return;
  const changed = [...currentView()].filter(([id, value]) => value !== opened.get(id));
  const fragment = `#${new URLSearchParams(changed)}`;
  if (fragment !== (location.hash || "#")) history.replaceState(null, "", fragment);
}

function restoreView() {
  for (const [id, value] of currentView()) opened.set(id, value);
  for (const [id, value] of new URLSearchParams(location.hash.slice(1))) {
    const control = element(id);
    if (id === "ticked") {
      const names = value.split(",");
      const kept = state.runs.filter((run) => names.includes(run.name));
      state.chosen = new Set(kept.map((run) => run.index));
    } else if (id === "sort") {
      state.sort = { on: true, column: parseInt(value, 10), descending: value.endsWith("d") };
    } else if (control?.matches("details")) {
      control.open = value === "true";
    } else if (opened.has(id)) {
      if (control.type === "checkbox") control.checked = value === "true";
      else control.value = value;
      control.dispatchEvent(new Event(kindOf(control), { bubbles: true }));
    }
  }
  addEventListener("hashchange", () => location.reload());
}
