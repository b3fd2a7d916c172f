// The matrix: another metric, a severity or the worst or mean of all, another order; what a cell is, on hover, focus
// and tap.

const view = globalThis.auditorView;
const data = JSON.parse(document.getElementById("data").textContent);
const { matrix, rows } = data;
const section = document.getElementById("matrix");
const form = section?.querySelector("form.switches");

const metricOf = (name) => matrix.metrics.find((metric) => metric.name === name) ?? matrix.metrics[0];

const keptOf = (metric, value, clean) => {
  if (value === null) return null;
  if (metric.beside) return metric.lower ? 1 - value : null;
  if (clean === null) return null;
  if (metric.lower) return value <= clean ? 1 : clean / value;
  return clean ? value / clean : null;
};

const lost = new Map(
  matrix.lost.map(([row, column, index, status, error]) => [`${row} ${column} ${index}`, { status, error }]),
);

// What a cell of the matrix shows at a severity ("mean" and "worst" are over all).
export const shown = (name, at, row, column) => {
  const metric = metricOf(name);
  const entries = matrix.values[metric.name][row][column];
  const clean = matrix.clean[metric.name][row]?.[0] ?? null;
  const places =
    at === "mean" || at === "worst" ? entries.map((_, index) => index) : [matrix.severities.indexOf(Number(at))];
  const failed = places.map((index) => lost.get(`${row} ${column} ${index}`)).find(Boolean);
  if (failed) return { ...failed, value: null, kept: null, places };
  const found = places.map((index) => entries[index] ?? null);
  if (!found.length || found.some((entry) => entry === null)) {
    return {
      status: found.every((entry) => entry === null) ? "not measured" : "undefined",
      value: null,
      kept: null,
      places,
    };
  }
  let entry;
  if (at === "mean") {
    const mean = found.reduce((sum, item) => sum + item[0], 0) / found.length;
    entry = [mean, null, null, found.some((item) => item[3]) ? 1 : 0];
  } else {
    entry = found.reduce((worst, item) => ((metric.lower ? item[0] > worst[0] : item[0] < worst[0]) ? item : worst));
  }
  const kept = keptOf(metric, entry[0], clean);
  return {
    value: entry[0],
    low: entry[1],
    high: entry[2],
    worse: Boolean(entry[3]),
    kept,
    places,
    index: found.indexOf(entry),
    clean,
  };
};

const digits = (value) => {
  const size = Math.abs(value);
  return size >= 1000 ? Math.round(value).toLocaleString("en-US") : value.toFixed(size >= 100 ? 1 : 3);
};
const number = (value) => (value === null || value === undefined ? "–" : digits(value));

const fill = (cell, found) => {
  cell.className = "n";
  if (found.value === null) {
    cell.classList.add("lost", found.status.replace(" ", "-"));
    cell.textContent = found.status;
    return;
  }
  if (found.kept !== null) cell.classList.add(`k${Math.round(Math.min(Math.max(found.kept, 0), 1) * 10)}`);
  cell.textContent = number(found.value);
  if (found.worse) {
    const mark = document.createElement("b");
    mark.className = "worse";
    mark.title = "worse beyond chance";
    mark.textContent = "▼";
    cell.append(mark);
  }
  if (found.kept !== null) {
    const share = document.createElement("small");
    share.textContent = `${Math.round(found.kept * 100)}%`;
    cell.append(share);
  }
};

const now = () => {
  const asked = view.get("at");
  const at = matrix.severities.includes(Number(asked)) && asked !== "" ? String(Number(asked)) : asked;
  const isThere = at === "worst" || matrix.severities.includes(Number(at));
  return { metric: metricOf(view.get("metric")).name, at: isThere ? at : "mean", sort: view.get("sort") };
};

const about = document.getElementById("about-cell");
const cells = section ? [...section.querySelectorAll("td[data-c]")] : [];
const cleans = section ? [...section.querySelectorAll("td[data-clean]")] : [];

const paint = () => {
  const { metric, at } = now();
  const chosen = metricOf(metric);
  for (const cell of cells) fill(cell, shown(metric, at, Number(cell.dataset.r), Number(cell.dataset.c)));
  for (const cell of cleans) {
    const entry = matrix.clean[metric][Number(cell.dataset.r)];
    cell.textContent = number(entry?.[0]);
    if (entry && entry[1] !== null) {
      const spread = document.createElement("small");
      spread.className = "span";
      spread.textContent = `${number(entry[1])}–${number(entry[2])}`;
      cell.append(spread);
    }
  }
  const over =
    at === "mean"
      ? "the mean over its severities"
      : at === "worst"
        ? "the worst of its severities"
        : `its severity ${at}`;
  const told = chosen.about ? `: ${chosen.about.replaceAll("`", "")}` : "";
  about.hidden = true;
  for (const cell of section.querySelectorAll("[data-of]")) cell.hidden = cell.dataset.of !== metric;
  section.querySelector(".lead .what").textContent = `${chosen.name}${told}; for a scenario ${over}`;
  const kept = chosen.beside
    ? "what is left of clean (1 − value)"
    : chosen.lower
      ? "share kept, clean ÷ here since less is better"
      : "share of clean kept";
  section.querySelector(".scale").firstChild.textContent = `${kept}: 0 % `;
};

// Columns by the mean loss of all rows, and rows of a family by theirs.
const sorted = () => {
  const { metric, at, sort } = now();
  const kept = rows.map((_, row) => matrix.scenarios.map((__, column) => shown(metric, at, row, column).kept));
  const mean = (values) => {
    const known = values.filter((value) => value !== null);
    return known.length ? known.reduce((sum, value) => sum + value, 0) / known.length : Infinity;
  };
  const columns = matrix.scenarios.map((_, column) => column);
  const order = rows.map((_, row) => row);
  if (sort === "loss") {
    const losses = columns.map((column) => mean(kept.map((row) => row[column])));
    columns.sort((a, b) => losses[a] - losses[b]);
    const keeps = kept.map(mean);
    order.sort((a, b) => keeps[a] - keeps[b]);
  }
  return { columns, order, isSorted: sort === "loss" };
};

let arranged = "";
const arrange = () => {
  const { columns, order, isSorted } = sorted();
  const key = `${columns} ${order}`;
  if (key === arranged) return;
  arranged = key;
  const wide = section.querySelector(".wide table");
  const packs = wide.tHead.rows[0].querySelectorAll("th[scope='colgroup']");
  for (const pack of packs) pack.hidden = isSorted;
  const placeholder = wide.tHead.rows[0].querySelector("th.sorted") ?? document.createElement("th");
  placeholder.className = "sorted";
  placeholder.colSpan = columns.length;
  placeholder.textContent = "by loss";
  placeholder.hidden = !isSorted;
  wide.tHead.rows[0].append(placeholder);
  for (const row of [wide.tHead.rows[1], ...wide.querySelectorAll("tbody tr[data-r]")]) {
    const mine = new Map([...row.querySelectorAll("[data-c]")].map((cell) => [Number(cell.dataset.c), cell]));
    for (const column of columns) if (mine.has(column)) row.append(mine.get(column));
  }
  for (const body of wide.tBodies) {
    const mine = new Map([...body.querySelectorAll("tr[data-r]")].map((row) => [Number(row.dataset.r), row]));
    for (const row of order) if (mine.has(row)) body.append(mine.get(row));
  }
  for (const body of section.querySelectorAll(".narrow tbody")) {
    const mine = new Map([...body.querySelectorAll("tr[data-c]")].map((row) => [Number(row.dataset.c), row]));
    for (const column of columns) body.append(mine.get(column));
  }
  for (const name of wide.tHead.rows[1].querySelectorAll("th[data-c] span")) {
    const scenario = matrix.scenarios[Number(name.parentElement.dataset.c)];
    name.textContent = isSorted ? scenario : scenario.slice(scenario.indexOf("/") + 1);
  }
};

// A severity with its value and interval.
const spread = (entry, index) => {
  const interval = entry && entry[1] !== null ? ` (${number(entry[1])}–${number(entry[2])})` : "";
  return `severity ${matrix.severities[index]}: ${number(entry?.[0])}${interval}${entry?.[3] ? " ▼" : ""}`;
};

const describe = (cell) => {
  const [row, column] = [Number(cell.dataset.r), Number(cell.dataset.c)];
  const { metric, at } = now();
  const found = shown(metric, at, row, column);
  const where = `${rows[row].label} on ${matrix.scenarios[column]}`;
  if (found.value === null) return `${where}: ${found.status}${found.error ? `: ${found.error}` : ""}`;
  const knob =
    at === "mean"
      ? "mean over severities"
      : `${matrix.knobs[column][found.places[found.index]]}, severity ${matrix.severities[found.places[found.index]]}`;
  const interval =
    found.low === null || found.low === undefined ? "" : ` (95 %: ${number(found.low)} to ${number(found.high)})`;
  const kept =
    found.kept === null
      ? ""
      : `, ${Math.round(found.kept * 100)} % of clean${found.clean === null ? "" : ` (${number(found.clean)})`}`;
  const each = at === "mean" ? `; ${matrix.values[metric][row][column].map(spread).join(", ")}` : "";
  const worse = found.worse ? "; worse than clean beyond chance" : "";
  return `${where}, ${knob}: ${metric} ${number(found.value)}${interval}${kept}${each}${worse}`;
};

const choose = (cell) => {
  const file = rows[Number(cell.dataset.r)].label;
  const scenario = matrix.scenarios[Number(cell.dataset.c)];
  const isSame = view.get("file") === file && view.get("scenario") === scenario;
  view.set(isSame ? { file: "", scenario: "" } : { file, scenario });
};

const step = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] };
const move = (cell, [down, right]) => {
  const table = cell.closest("table");
  const lines = [...table.querySelectorAll("tbody tr")].filter((line) => line.querySelector("td[data-c]"));
  const line = cell.parentElement;
  const inLine = [...line.querySelectorAll("td[data-c]")];
  const next = down ? lines[lines.indexOf(line) + down] : line;
  const target = next && [...next.querySelectorAll("td[data-c]")][inLine.indexOf(cell) + right];
  if (!target) return;
  cell.tabIndex = -1;
  target.tabIndex = 0;
  target.focus();
};

if (form) {
  form.hidden = false;
  form.addEventListener("change", () => view.set(Object.fromEntries(new FormData(form))));
  form.addEventListener("submit", (event) => event.preventDefault());
  for (const table of section.querySelectorAll("table")) {
    table.setAttribute("role", "grid");
    const first = table.querySelector("td[data-c]");
    if (first) first.tabIndex = 0;
  }
  const tell = (event) => {
    const cell = event.target.closest?.("td[data-c]");
    if (!cell) return;
    about.hidden = false;
    about.textContent = describe(cell);
  };
  section.addEventListener("pointerover", tell);
  section.addEventListener("focusin", tell);
  section.addEventListener("click", (event) => {
    const cell = event.target.closest("td[data-c]");
    if (cell) choose(cell);
  });
  section.addEventListener("keydown", (event) => {
    const cell = event.target.closest("td[data-c]");
    if (!cell) return;
    if (step[event.key]) {
      event.preventDefault();
      move(cell, step[event.key]);
    }
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      choose(cell);
    }
  });
  let before = "";
  document.addEventListener("viewchange", () => {
    const { metric, at, sort } = now();
    Object.assign(form.elements.metric, { value: metric });
    Object.assign(form.elements.at, { value: at });
    Object.assign(form.elements.sort, { value: sort === "loss" ? "loss" : "" });
    if (before !== `${metric} ${at} ${sort}`) {
      before = `${metric} ${at} ${sort}`;
      paint();
      arrange();
    }
  });
}
