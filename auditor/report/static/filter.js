// What is chosen, a model and a scenario, is what everything below the matrix shows.

const view = globalThis.auditorView;
const { rows, matrix } = JSON.parse(document.getElementById("data").textContent);

const rowOf = (name) => rows.findIndex((row) => row.label === name || row.file === name);
const has = (places, number) => number < 0 || !places || places.split(" ").includes(String(number));

const note = document.createElement("p");
note.className = "filtered";
note.hidden = true;
note.setAttribute("role", "status");
const text = document.createElement("span");
const clear = document.createElement("button");
clear.type = "button";
clear.textContent = "show everything";
clear.addEventListener("click", () => view.set({ file: "", scenario: "", level: "" }));
note.append(text, clear);
document.getElementById("matrix")?.after(note);

const findings = [...document.querySelectorAll("#finding_list > article.finding")];
const levels = document.querySelector("form.levels");
const figures = [...document.querySelectorAll(":is(#curves, #limits) figure[data-c]")];
const lines = [...document.querySelectorAll("svg.lines g[data-r], table.limits tr[data-r]")];
const cells = [...document.querySelectorAll("#matrix td[data-c]")];
const folds = [...document.querySelectorAll("details[data-r], figure[data-r]")];

if (levels) {
  levels.hidden = false;
  levels.addEventListener("change", () => {
    const boxes = [...levels.querySelectorAll("input")];
    const on = boxes.filter((box) => box.checked).map((box) => box.value);
    view.set({ level: on.length === boxes.length ? "" : on.join(",") || "none" });
  });
}

document.addEventListener("viewchange", () => {
  const row = view.get("file") ? rowOf(view.get("file")) : -1;
  const column = matrix.scenarios.indexOf(view.get("scenario"));
  const asked = view.get("level");
  const shown = [row >= 0 && rows[row].label, column >= 0 && matrix.scenarios[column]].filter(Boolean);
  note.hidden = !shown.length;
  text.textContent = `Below: ${shown.join(" on ")}`;
  for (const cell of cells)
    cell.classList.toggle("on", Number(cell.dataset.r) === row && Number(cell.dataset.c) === column);
  for (const figure of figures) figure.hidden = column >= 0 && Number(figure.dataset.c) !== column;
  for (const line of lines) line.classList.toggle("off", row >= 0 && Number(line.dataset.r) !== row);
  for (const fold of folds) fold.hidden = row >= 0 && Number(fold.dataset.r) !== row;
  let there = 0;
  const counts = {};
  for (const finding of findings) {
    const isHere = has(finding.dataset.rows, row) && has(finding.dataset.columns, column);
    counts[finding.dataset.level] = (counts[finding.dataset.level] ?? 0) + isHere;
    const isShown = isHere && (!asked || asked.split(",").includes(finding.dataset.level));
    finding.hidden = !isShown;
    there += isShown;
  }
  const nothing = document.querySelector("#finding_list .nothing");
  if (nothing) nothing.hidden = there > 0 || !findings.length;
  for (const box of levels?.querySelectorAll("input") ?? []) {
    box.parentElement.querySelector("span").textContent = counts[box.value] ?? 0;
  }
  for (const box of levels?.querySelectorAll("input") ?? [])
    box.checked = !asked || asked.split(",").includes(box.value);
});
