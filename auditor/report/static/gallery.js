// The gallery: one image at a time, clean and corrupted beside each other, with what is true and what is said of it.

const view = globalThis.auditorView;
const { gallery, rows, matrix } = JSON.parse(document.getElementById("data").textContent);
const viewer = document.querySelector("#gallery .viewer");
const SVG = "http://www.w3.org/2000/svg";
const LABEL = 0,
  BOX = 1,
  SCORE = 2,
  PARTNER = 3;
const NAMES = { found: "✓", missed: "✗ missed:", hit: "●", alarm: "▲ false:" };

if (viewer && gallery) {
  const form = viewer.querySelector("form");
  const fields = form.elements;
  const layers = viewer.querySelector(".layers");
  const frame = viewer.querySelector(".frame");
  const inner = viewer.querySelector(".inner");
  const [after, before] = [viewer.querySelector(".after"), viewer.querySelector(".before")];
  const layer = viewer.querySelector(".marks-layer");
  const divider = viewer.querySelector(".divider");
  const wipe = viewer.querySelector("[name=wipe]");
  const caption = viewer.querySelector(".caption");
  const listed = viewer.querySelector(".listed");
  const seen = gallery.seen.map(([row, scenario, severity, image, lost, alarms, found]) => ({
    row,
    scenario,
    severity,
    image,
    lost,
    alarms,
    found,
  }));
  let zoom = 1;
  let shown = null;

  const picture = (image, key) => document.getElementById(`picture-${image}-${key}`)?.getAttribute("src") ?? "";
  const keyOf = (scenario, severity) => `${scenario}@${severity}`;
  const heldAt = (row, label) => {
    const held = gallery.thresholds[row];
    if (!held) return null;
    return held.classes[label] ?? held.others;
  };
  // The threshold of a class: that of the slider where it was moved, else the operating point's.
  const score = () => {
    const asked = view.get("score");
    const value = asked === "" ? NaN : Number(asked);
    return Number.isFinite(value) ? Math.min(1, Math.max(0, value)) : null;
  };
  const thresholdOf = (item, label) =>
    score() === null ? (heldAt(item.row, label) ?? 0) : Math.max(score(), floorOf(item));
  // Below half the threshold of a class nothing is listed, nor beyond the thirty surest detections of an image.
  const floorOf = (item) => {
    const held = gallery.thresholds[item.row];
    const own = held ? [held.others, ...Object.values(held.classes)].filter((value) => value !== null) : [0];
    const last = item.found.length >= 30 ? item.found.at(-1)[SCORE] : 0;
    return Math.max(last, 0.5 * Math.max(...own));
  };

  const scenarios = [...new Set(seen.map((item) => item.scenario))];
  const now = () => {
    const asked = view.get("scenario");
    const isKnown = scenarios.includes(asked) || matrix.scenarios.includes(asked);
    const scenario = isKnown ? asked : fields.scenario.value;
    const byName = rows.findIndex((row) => row.label === view.get("file") || row.file === view.get("file"));
    return {
      scenario,
      row: byName >= 0 ? byName : Number(fields.row.value),
      order: view.get("order") || "lost",
      label: view.get("class"),
    };
  };

  const surest = (item) =>
    Math.max(0, ...item.found.filter((mark) => mark[PARTNER] === null).map((mark) => mark[SCORE]));
  const listOf = ({ scenario, row, order }) => {
    const mine = seen.filter((item) => item.scenario === scenario && item.row === row);
    if (order === "alarms") mine.sort((a, b) => surest(b) - surest(a));
    return mine;
  };

  const marksOf = (item) => {
    const { truth } = gallery.images[item.image];
    // of a classifier the first class counts, whatever its score
    const kept = item.found.filter((mark, place) =>
      gallery.boxes ? mark[SCORE] >= thresholdOf(item, gallery.labels[mark[LABEL]]) : place === 0,
    );
    const hits = new Set(kept.map((mark) => mark[PARTNER]).filter((partner) => partner !== null));
    return [
      ...truth.map((mark, place) => ({ kind: hits.has(place) ? "found" : "missed", mark })),
      ...kept.map((mark) => ({ kind: mark[PARTNER] === null ? "alarm" : "hit", mark })),
    ];
  };

  const make = (name, attributes, text) => {
    const element = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    if (text !== undefined) element.textContent = text;
    return element;
  };
  const wordsOf = ({ kind, mark }) =>
    `${NAMES[kind]} ${gallery.labels[mark[LABEL]]}${mark[SCORE] === null ? "" : ` ${mark[SCORE].toFixed(2)}`}`;

  // each in the picture, and at the nearest height at which it hides none before it
  const spread = (words, [width, height], unit) => {
    const placed = [];
    for (const word of words) {
      const wide = word.getComputedTextLength();
      const x = Math.max(0, Math.min(Number(word.getAttribute("x")), width - wide));
      const wanted = Number(word.getAttribute("y"));
      const apart = ({ left, right, y }, at) => left > x + wide || right < x || Math.abs(y - at) >= 14 * unit;
      const heights = [...Array(41).keys()]
        .map((step) => wanted + (step % 2 ? 1 : -1) * Math.ceil(step / 2) * 7 * unit)
        .map((at) => Math.max(12 * unit, Math.min(at, height - 3 * unit)));
      const y = heights.find((at) => placed.every((other) => apart(other, at))) ?? heights[0];
      word.setAttribute("x", x);
      word.setAttribute("y", y);
      placed.push({ left: x, right: x + wide, y });
    }
  };

  const draw = () => {
    if (!shown) return;
    const label = fields.label.value;
    const { size, name } = gallery.images[shown.image];
    const on = Object.fromEntries([...layers.querySelectorAll("input")].map((box) => [box.name, box.checked]));
    const marks = marksOf(shown).filter(({ mark }) => !label || gallery.labels[mark[LABEL]] === label);
    layer.replaceChildren();
    if (size[0]) layer.setAttribute("viewBox", `0 0 ${size[0]} ${size[1]}`);
    const unit = size[0] / Math.max(1, inner.clientWidth);
    const words = [];
    for (const { kind, mark } of marks) {
      if (!on[kind] || !mark[BOX]) continue;
      const [left, top, right, bottom] = mark[BOX];
      const box = { x: left, y: top, width: Math.max(1, right - left), height: Math.max(1, bottom - top) };
      layer.append(make("rect", { ...box, class: "halo" }), make("rect", { ...box, class: kind }));
      if (kind === "missed")
        layer.append(
          make("path", {
            d: `M${left},${top}L${right},${bottom}M${right},${top}L${left},${bottom}`,
            class: kind,
            "stroke-width": unit,
          }),
        );
      if (kind === "alarm")
        layer.append(
          make("path", {
            d: `M${left},${top}l${14 * unit},0l${-14 * unit},${14 * unit}z`,
            class: kind,
            fill: "#ffc233",
          }),
        );
      const low = top < 16 * unit ? bottom + 12 * unit : top - 4 * unit;
      words.push(make("text", { x: Math.max(0, left), y: low, "font-size": 12 * unit }, wordsOf({ kind, mark })));
    }
    layer.append(...words);
    spread(words, size, unit);
    const counts = Object.fromEntries(
      Object.keys(NAMES).map((kind) => [kind, marks.filter((item) => item.kind === kind).length]),
    );
    layer.setAttribute("aria-label", `${counts.found} found, ${counts.missed} missed, ${counts.alarm} false alarms`);
    listed.replaceChildren(
      ...marks.map((item) => {
        const line = document.createElement("li");
        const told = { hit: " (hit)", found: " (found)" }[item.kind] ?? "";
        line.textContent = `${wordsOf(item)}${told}`;
        return line;
      }),
    );
    const list = listOf(now());
    const where = `${list.indexOf(shown) + 1} of ${list.length}: ${name}, ${rows[shown.row].label}`;
    if (!gallery.boxes) {
      const [truth, said] = [gallery.images[shown.image].truth[0], shown.found[0]];
      caption.textContent = `${where}: truly ${wordOf(truth)}, taken for ${wordOf(said)} (${said[SCORE].toFixed(2)})`;
      return;
    }
    const verb = shown.scenario === "clean" ? "misses" : "loses";
    const lost = `${verb} ${shown.lost} of ${gallery.images[shown.image].truth.length} at the operating point`;
    const here = `${counts.found} found, ${counts.missed} missed, ${counts.alarm} false alarms`;
    const floor = floorOf(shown);
    const cut = score() !== null && score() < floor ? ` (below a score of ${floor.toFixed(2)} nothing is listed)` : "";
    const grey = after.hidden ? "; its picture was left out" : "";
    caption.textContent = `${where}: ${lost}; here ${here}${cut}${grey}`;
    fields.at.textContent = score() === null ? "held" : score().toFixed(2);
    fields.score.value =
      score() ??
      gallery.thresholds[shown.row]?.others ??
      Math.min(1, ...Object.values(gallery.thresholds[shown.row]?.classes ?? {}));
  };
  const wordOf = (mark) => gallery.labels[mark[LABEL]];

  const paintWipe = () => {
    const part = before.hidden ? 0 : Number(wipe.value);
    before.style.clipPath = `inset(0 ${100 - part}% 0 0)`;
    divider.style.left = `${part}%`;
    divider.hidden = part === 0 || part === 100;
  };

  const grey = ([width, height]) => {
    const ratio = (width || 4) / (height || 3);
    inner.style.aspectRatio = `${ratio}`;
    inner.style.width = `calc(min(100%, ${62 * ratio}vh) * ${zoom})`;
  };

  const show = (item) => {
    shown = item;
    const { size } = gallery.images[item.image];
    grey(size);
    const [corrupted, clean] = [
      picture(item.image, keyOf(item.scenario, item.severity)),
      picture(item.image, keyOf("clean", 0)),
    ];
    after.hidden = !corrupted;
    before.hidden = !clean || item.scenario === "clean";
    if (corrupted) after.src = corrupted;
    if (!before.hidden) before.src = clean;
    after.alt = `${gallery.images[item.image].name}, ${item.scenario}`;
    before.alt = before.hidden ? "" : `${gallery.images[item.image].name}, clean`;
    paintWipe();
    draw();
  };

  const step = (by) => {
    const list = listOf(now());
    if (!list.length) return;
    const place = list.indexOf(shown);
    view.set({ image: String(list[(place + by + list.length) % list.length].image) });
  };

  const paint = () => {
    const wanted = now();
    if (scenarios.includes(wanted.scenario)) fields.scenario.value = wanted.scenario;
    fields.row.value = String(wanted.row);
    fields.order.value = wanted.order;
    const list = listOf(wanted);
    const labels = [
      ...new Set(
        list.flatMap((item) =>
          [...gallery.images[item.image].truth, ...item.found].map((mark) => gallery.labels[mark[LABEL]]),
        ),
      ),
    ].sort();
    if (labels.join("\n") !== fields.label.dataset.of) {
      fields.label.dataset.of = labels.join("\n");
      fields.label.replaceChildren(new Option("all", ""), ...labels.map((label) => new Option(label, label)));
    }
    fields.label.value = labels.includes(wanted.label) ? wanted.label : "";
    const asked = view.get("image");
    const item = list.find((other) => String(other.image) === asked) ?? list[0];
    if (!item) {
      const column = matrix.scenarios.indexOf(wanted.scenario);
      const failed = matrix.lost?.find(([row, place]) => row === wanted.row && place === column);
      const why = gallery.why[wanted.row] || (failed ? `${failed[3]}: ${failed[4]}` : "");
      const where = `${rows[wanted.row].label} on ${wanted.scenario}`;
      caption.textContent = `${where}: ${why || "nothing is lost, and nothing found that is not there"}`;
      layer.replaceChildren();
      listed.replaceChildren();
      after.hidden = before.hidden = true;
      shown = null;
      return;
    }
    show(item);
  };

  const rolls = [...document.querySelectorAll("#gallery details.roll")];
  viewer.hidden = false;
  if (!gallery.boxes) for (const part of viewer.querySelectorAll(".boxed")) part.hidden = true;
  const worst = seen.reduce(
    (most, item) => (item.scenario !== "clean" && (!most || item.lost > most.lost) ? item : most),
    null,
  );
  if (worst) {
    fields.scenario.value = worst.scenario;
    fields.row.value = String(worst.row);
  }
  document.addEventListener("viewchange", () => {
    const column = matrix ? matrix.scenarios.indexOf(view.get("scenario")) : -1;
    for (const roll of rolls) roll.hidden = column >= 0 && Number(roll.dataset.column) !== column;
    paint();
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", (event) => {
    const { name, value } = event.target;
    if (name === "scenario") view.set({ scenario: value, image: "" });
    if (name === "row") view.set({ file: rows[Number(value)].label, image: "" });
    if (name === "order") view.set({ order: value === "lost" ? "" : value, image: "" });
    if (name === "label") view.set({ class: value });
    if (name === "score") view.set({ score: value });
  });
  fields.held.addEventListener("click", () => view.set({ score: "" }));
  layers.addEventListener("change", draw);
  wipe.addEventListener("input", paintWipe);
  inner.addEventListener("pointermove", (event) => {
    if (event.buttons !== 1 || before.hidden) return;
    const place = inner.getBoundingClientRect();
    wipe.value = String(Math.round((100 * (event.clientX - place.left)) / place.width));
    paintWipe();
  });
  viewer.querySelector("[name=previous]").addEventListener("click", () => step(-1));
  viewer.querySelector("[name=next]").addEventListener("click", () => step(1));
  const zoomBy = (factor) => {
    zoom = Math.min(8, Math.max(1, zoom * factor));
    if (shown) grey(gallery.images[shown.image].size);
    draw();
  };
  viewer.querySelector("[name=in]").addEventListener("click", () => zoomBy(1.5));
  viewer.querySelector("[name=out]").addEventListener("click", () => zoomBy(1 / 1.5));
  const isInView = () => {
    const { top, bottom } = viewer.getBoundingClientRect();
    return top < innerHeight && bottom > 0;
  };
  addEventListener("keydown", (event) => {
    const isHere = event.target === document.body ? isInView() : viewer.contains(event.target);
    const types = event.target.closest?.("input, select, textarea");
    if (!isHere || types || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "j" || event.key === "ArrowRight") step(1);
    else if (event.key === "k" || event.key === "ArrowLeft") step(-1);
    else if (event.key === "+") zoomBy(1.5);
    else if (event.key === "-") zoomBy(1 / 1.5);
    else return;
    event.preventDefault();
  });
  addEventListener("resize", draw);
  for (const button of document.querySelectorAll("#gallery button.open")) {
    button.hidden = false;
    button.addEventListener("click", () => {
      const { image, scenario } = button.closest("figure").dataset;
      const item = seen
        .filter((other) => String(other.image) === image && other.scenario === scenario)
        .sort((a, b) => b.lost - a.lost)[0];
      view.set({ scenario, file: rows[item.row].label, image });
      viewer.scrollIntoView();
    });
  }
}
