// Making elements.

/** An element: `on…` properties are listeners, `true` and `false` set and leave out, children are nodes or text. */
export function h(tag, properties = {}, ...children) {
  const [name, ...classes] = tag.split(".");
  const element = document.createElement(name || "div");
  if (classes.length) element.className = classes.join(" ");
  for (const [key, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key === "value" || key === "checked") element[key] = value;
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== undefined && child !== null && child !== false));
  return element;
}

/** Tells people who do not see the page. */
export function say(text) {
  document.getElementById("said").textContent = text;
}

/** A table with these heads; a row is a list of cells. */
export function table(caption, heads, rows, empty) {
  return h(
    "div.scroll",
    { tabindex: "0", role: "group", "aria-label": caption },
    h(
      "table",
      {},
      h("caption.unseen", {}, caption),
      h("thead", {}, h("tr", {}, heads.map((head) => h("th", { scope: "col" }, head)))),
      h("tbody", {}, rows.length ? rows : h("tr", {}, h("td.empty", { colspan: heads.length }, empty))),
    ),
  );
}

export function row(...cells) {
  return h("tr", {}, cells.map((cell) => (cell instanceof HTMLTableCellElement ? cell : h("td", {}, cell))));
}

export function section(title, ...content) {
  return h("section", {}, h("h2", {}, title), content);
}

/** A failure of the API, or of the page itself, with what to do. */
export function fault(error) {
  return h(
    "div.fault",
    { role: "alert" },
    h("strong", {}, error.code ?? "The page has failed"),
    " ",
    error.message,
    error.requestId && h("div.dim", {}, `The server's log names this request ${error.requestId}.`),
  );
}
