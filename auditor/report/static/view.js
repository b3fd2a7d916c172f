// The view: what is shown, as the page's fragment says: #anchor?key=value&…. A link with it shows the same again.

const decoded = (text) => {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // somebody's link, cut off in the middle of a letter
  }
};

const read = () => {
  const [anchor, query = ""] = location.hash.slice(1).split("?");
  return { anchor: decoded(anchor), keys: new URLSearchParams(query) };
};

const tell = () => document.dispatchEvent(new CustomEvent("viewchange", { detail: view.all() }));

const write = (anchor, keys, isStep) => {
  const query = keys.toString();
  const address = `#${encodeURIComponent(anchor)}${query ? `?${query}` : ""}`;
  if (isStep && address !== location.hash) history.pushState(null, "", address);
  else history.replaceState(null, "", address);
};

const changed = (keys, values) => {
  for (const [key, value] of Object.entries(values)) {
    if (value === "" || value === null || value === undefined) keys.delete(key);
    else keys.set(key, value);
  }
  return keys;
};

const scroll = (anchor) => {
  const place = document.getElementById(anchor);
  for (let up = place?.closest("details:not([open])"); up; up = up.parentElement.closest("details:not([open])")) {
    up.open = true;
  }
  place?.scrollIntoView();
};

export const view = {
  get: (key) => read().keys.get(key) ?? "",
  all: () => Object.fromEntries(read().keys),
  // Change some keys where the reader is; an empty value takes a key away.
  set(values) {
    const { anchor, keys } = read();
    write(anchor, changed(keys, values), false);
    tell();
  },
  // Go to a place, by a link: the way back leads here.
  go(anchor, values = {}) {
    write(anchor, changed(read().keys, values), true);
    tell();
    scroll(anchor);
  },
};

globalThis.auditorView = view;

const arrived = () => {
  tell();
  scroll(read().anchor);
};
addEventListener("popstate", arrived);
addEventListener("DOMContentLoaded", () => (location.hash.length > 1 ? arrived() : tell()));
