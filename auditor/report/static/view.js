// The view: what is shown, as the page's fragment says: #anchor?key=value&…. A link with it shows the same again.

const read = () => {
  const [anchor, query = ""] = location.hash.slice(1).split("?");
  return { anchor: decodeURIComponent(anchor), keys: new URLSearchParams(query) };
};

const tell = () => document.dispatchEvent(new CustomEvent("viewchange", { detail: view.all() }));

const write = (anchor, keys) => {
  const query = keys.toString();
  history.replaceState(null, "", `#${encodeURIComponent(anchor)}${query ? `?${query}` : ""}`);
};

export const view = {
  get: (key) => read().keys.get(key) ?? "",
  all: () => Object.fromEntries(read().keys),
  // Change some keys; an empty value takes a key away. The place on the page stays unless an anchor is given.
  set(changed, anchor = read().anchor) {
    const { keys } = read();
    for (const [key, value] of Object.entries(changed)) {
      if (value === "" || value === null || value === undefined) keys.delete(key);
      else keys.set(key, value);
    }
    write(anchor, keys);
    tell();
  },
  // Go to a place and keep what is shown.
  go(anchor) {
    write(anchor, read().keys);
    const place = document.getElementById(anchor);
    for (let up = place?.closest("details:not([open])"); up; up = up.parentElement.closest("details:not([open])"))
      up.open = true;
    place?.scrollIntoView();
    if (place?.matches("details")) place.open = true;
  },
};

globalThis.auditorView = view;

addEventListener("hashchange", () => {
  tell();
  view.go(read().anchor);
});
addEventListener("DOMContentLoaded", () => {
  tell();
  if (location.hash.length > 1) view.go(read().anchor);
});
