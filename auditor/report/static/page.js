// What every page does: its theme, where in it the reader is, copying, and saving what it holds.

const view = globalThis.auditorView;
const root = document.documentElement;

const theme = document.querySelector("button.theme");
const system = matchMedia("(prefers-color-scheme: dark)");
const isDark = () => (view.get("theme") || (system.matches ? "dark" : "light")) === "dark";
const paint = () => {
  const asked = view.get("theme");
  if (asked) root.dataset.theme = asked;
  else delete root.dataset.theme;
  theme.setAttribute("aria-pressed", String(isDark()));
};
theme.hidden = false;
theme.addEventListener("click", () => view.set({ theme: isDark() ? "light" : "dark" }));
system.addEventListener("change", paint);
document.addEventListener("viewchange", paint);

// Links of this page keep the view: they go to a place in it, or change it.
document.addEventListener("click", (event) => {
  const link = event.target.closest?.("a[href^='#']");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  const [anchor, query] = link.getAttribute("href").slice(1).split("?");
  event.preventDefault();
  const values = query ? { metric: "", at: "", ...Object.fromEntries(new URLSearchParams(query)) } : {};
  view.go(anchor, values);
});

const links = new Map([...document.querySelectorAll(".bar nav a")].map((link) => [link.hash.slice(1), link]));
const places = [...links.keys()].map((id) => document.getElementById(id)).filter(Boolean);
const here = () => {
  const above = places.filter((place) => place.getBoundingClientRect().top < 120);
  const current = above.at(-1) ?? places[0];
  for (const [id, link] of links) {
    if (id === current?.id) {
      if (link.hasAttribute("aria-current")) continue;
      link.setAttribute("aria-current", "true");
      const frame = link.closest("nav");
      frame.scrollLeft = link.offsetLeft - frame.offsetLeft - (frame.clientWidth - link.offsetWidth) / 2;
    } else link.removeAttribute("aria-current");
  }
};
let waits = false;
addEventListener("scroll", () => {
  if (waits) return;
  waits = true;
  requestAnimationFrame(() => {
    waits = false;
    here();
  });
});
here();

for (const button of document.querySelectorAll("button.copy")) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    const text = button.parentElement.querySelector("code").textContent;
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "copied";
    } catch {
      getSelection().selectAllChildren(button.parentElement.querySelector("code"));
      button.textContent = "selected: copy it with the keyboard";
    }
    setTimeout(() => {
      button.textContent = "copy";
    }, 3000);
  });
}

// result.json, which the page holds compressed, and its cells as CSV.
const packed = document.getElementById("result")?.textContent.trim();
const unpacked = async () => {
  const bytes = Uint8Array.from(atob(packed), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).text();
};
const asCsv = (text) => {
  const columns = [
    "model",
    "file",
    "quantization",
    "delegate",
    "device",
    "scenario",
    "severity",
    "input",
    "status",
    "images",
    "metric",
    "value",
    "low",
    "high",
    "reason",
  ];
  const quoted = (value) =>
    /[",\r\n]/.test(String(value ?? "")) ? `"${String(value).replaceAll('"', '""')}"` : String(value ?? "");
  const lines = [columns.join(",")];
  for (const cell of JSON.parse(text).cells) {
    for (const metric of Object.values(cell.metrics)) {
      const [low, high] = metric.interval ?? [];
      const row = { ...cell, metric: metric.name, value: metric.value, low, high, reason: metric.reason };
      lines.push(columns.map((name) => quoted(row[name])).join(","));
    }
    if (!Object.keys(cell.metrics).length)
      lines.push(columns.map((name) => quoted({ ...cell, reason: cell.error }[name])).join(","));
  }
  return `${lines.join("\r\n")}\r\n`;
};
const save = (name, type, text) => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
};
for (const button of document.querySelectorAll("button[data-save]")) {
  if (!packed) continue;
  button.hidden = false;
  button.addEventListener("click", async () => {
    const text = await unpacked();
    if (button.dataset.save === "json") save("result.json", "application/json", text);
    else save("cells.csv", "text/csv", asCsv(text));
  });
}
