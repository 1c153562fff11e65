// Which page is shown, the theme, and the token.

import { get, onLink, token } from "./api.js";
import { fault, h, say } from "./dom.js";
import * as machine from "./machine.js";
import * as overview from "./overview.js";
import * as submit from "./submit.js";
import * as task from "./task.js";
import * as tasks from "./tasks.js";

const PAGES = [
  [/^\/$/, overview, "Overview"],
  [/^\/tasks$/, tasks, "Tasks"],
  [/^\/tasks\/(.+)$/, task, "Task"],
  [/^\/submit$/, submit, "Submit"],
  [/^\/machine$/, machine, "Machine"],
];
const THEME = "execgo-theme";
const root = document.documentElement;
const main = document.getElementById("main");
let leaving = new AbortController();

async function show() {
  leaving.abort();
  leaving = new AbortController();
  const { signal } = leaving;
  const [path, query = ""] = (location.hash.slice(1) || "/").split("?");
  const found = PAGES.find(([pattern]) => pattern.test(path));
  for (const link of document.querySelectorAll("nav a[href^='#']")) {
    const to = link.getAttribute("href").slice(1);
    if (to === path || (to !== "/" && path.startsWith(to))) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  main.replaceChildren();
  if (!found) return main.append(h("h1", {}, "No such page"), fault(new Error(`There is no page ${path}.`)));
  const [pattern, page, title] = found;
  const parameter = decodeURIComponent(pattern.exec(path)[1] ?? "");
  document.title = `${parameter || title} · execgo-runtime`;
  try {
    await page.show(main, { parameter, query: new URLSearchParams(query), signal });
  } catch (error) {
    if (!signal.aborted) main.replaceChildren(h("h1", {}, parameter || title), fault(error));
  }
}

function theme(name) {
  if (name) root.dataset.theme = name;
  document.getElementById("theme").addEventListener("click", () => {
    const dark = root.dataset.theme
      ? root.dataset.theme === "dark"
      : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    localStorage.setItem(THEME, root.dataset.theme);
  });
}

function askToken(why) {
  if (document.querySelector("dialog[open]")) return;
  const input = h("input", { type: "password", id: "token-value", autocomplete: "off", value: token.get() });
  const dialog = h(
    "dialog",
    { "aria-labelledby": "token-title", onclose: () => dialog.remove() },
    h(
      "form",
      {
        method: "dialog",
        onsubmit: () => {
          token.set(input.value.trim());
          show();
        },
      },
      h("h2", { id: "token-title" }, "Bearer token"),
      why && h("p.bad", {}, why),
      h("label", { for: "token-value" }, "Token"),
      input,
      h("p.dim", {}, "Kept in this tab, until it is closed."),
      h(
        "p.buttons",
        {},
        h("button.main", {}, "Use it"),
        h("button", { type: "button", onclick: () => dialog.close() }, "Cancel"),
      ),
    ),
  );
  document.body.append(dialog);
  dialog.showModal();
}

document.addEventListener("token-needed", ({ detail }) => askToken(detail.message));
document.getElementById("token").addEventListener("click", () => askToken());
onLink((up) => {
  const link = document.getElementById("link");
  const text = up ? "connected" : "no connection";
  if (link.textContent === text) return;
  link.textContent = text;
  link.classList.toggle("bad", !up);
  if (!up) say("The server cannot be reached.");
});
theme(localStorage.getItem(THEME));
addEventListener("hashchange", () => {
  show();
  main.focus({ preventScroll: true });
  scrollTo(0, 0);
});
show();
get("runtime/info").then(
  ({ runtime_id: id, version }) => document.getElementById("brand").setAttribute("title", `${id}, version ${version}`),
  () => {},
);
