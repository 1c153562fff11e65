// The two streams of a task as they come: colours, following, search, download.

import { send } from "./api.js";
import { Ansi } from "./ansi.js";
import { h, say } from "./dom.js";
import { bytes } from "./format.js";

const STREAMS = ["stdout", "stderr"];
// So much is kept on the page; the download has everything.
const MOST_CHARACTERS = 2_000_000;

export class Output {
  #id;
  #panes = {};
  #follow = h("input", { type: "checkbox", id: "follow", checked: true });
  #find = h("input", { type: "search", "aria-label": "Search the output", placeholder: "Search" });
  #hits = h("span.dim", { role: "status" });
  #at = -1;
  element;

  constructor(id) {
    this.#id = id;
    const tabs = STREAMS.map((stream) => this.#tab(stream));
    this.#find.addEventListener("input", () => this.#search(true));
    this.#find.addEventListener("keydown", ({ key }) => key === "Enter" && this.#search(false));
    this.element = h(
      "div.output",
      {},
      h(
        "div.bar",
        {},
        h("div.tabs", { role: "tablist", "aria-label": "Streams", onkeydown: (event) => this.#keys(event) }, tabs),
        h("label.check", {}, this.#follow, "Follow"),
        this.#find,
        this.#hits,
        h("span.fill"),
        h("button", { type: "button", onclick: () => this.#download() }, "Download"),
      ),
      STREAMS.map((stream) => this.#panes[stream].pane),
    );
    this.#show("stdout");
  }

  #tab(stream) {
    const note = h("span.dim");
    const tab = h("button", { type: "button", role: "tab", id: `tab-${stream}`, "aria-controls": `pane-${stream}` }, stream, " ", note);
    tab.addEventListener("click", () => this.#show(stream));
    const text = h("pre", {});
    const pane = h("div.pane", { role: "tabpanel", id: `pane-${stream}`, "aria-labelledby": `tab-${stream}`, tabindex: "0" }, text);
    // Who scrolls up wants to read.
    pane.addEventListener("wheel", ({ deltaY }) => deltaY < 0 && (this.#follow.checked = false), { passive: true });
    this.#panes[stream] = { tab, note, pane, text, ansi: new Ansi(), decoder: new TextDecoder(), bytes: 0, characters: 0 };
    return tab;
  }

  #keys(event) {
    if (!["ArrowLeft", "ArrowRight"].includes(event.key)) return;
    this.#show(this.#shown === "stdout" ? "stderr" : "stdout");
    this.#panes[this.#shown].tab.focus();
  }

  get #shown() {
    return STREAMS.find((stream) => !this.#panes[stream].pane.hidden) ?? "stdout";
  }

  #show(shown) {
    for (const stream of STREAMS) {
      const { tab, pane } = this.#panes[stream];
      pane.hidden = stream !== shown;
      tab.setAttribute("aria-selected", String(stream === shown));
      tab.tabIndex = stream === shown ? 0 : -1;
    }
    this.#search(true);
  }

  /** An `output` event of the stream. */
  add({ stream, data, encoding }) {
    const one = this.#panes[stream];
    const raw = encoding === "base64" ? Uint8Array.from(atob(data), (c) => c.charCodeAt(0)) : new TextEncoder().encode(data);
    const text = one.decoder.decode(raw, { stream: true });
    one.bytes += raw.length;
    one.characters += text.length;
    one.text.append(...one.ansi.add(text));
    while (one.characters > MOST_CHARACTERS && one.text.childNodes.length > 1) {
      one.characters -= one.text.firstChild.textContent.length;
      one.text.firstChild.remove();
      one.cut = true;
    }
    one.note.textContent = one.cut ? `${bytes(one.bytes)}, its end shown` : bytes(one.bytes);
    if (this.#follow.checked) one.pane.scrollTop = one.pane.scrollHeight;
  }

  /** Marks what is found, and goes to the first, or the next. */
  #search(anew) {
    CSS.highlights?.clear();
    const wanted = this.#find.value.toLowerCase();
    this.#hits.textContent = "";
    if (!wanted) return;
    const { text, pane } = this.#panes[this.#shown];
    const ranges = [];
    const walker = document.createTreeWalker(text, NodeFilter.SHOW_TEXT);
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
      const content = node.data.toLowerCase();
      for (let at = content.indexOf(wanted); at >= 0; at = content.indexOf(wanted, at + wanted.length)) {
        const range = new Range();
        range.setStart(node, at);
        range.setEnd(node, at + wanted.length);
        ranges.push(range);
      }
    }
    this.#at = ranges.length ? (anew ? 0 : (this.#at + 1) % ranges.length) : -1;
    this.#hits.textContent = ranges.length ? `${this.#at + 1} of ${ranges.length}` : "not found";
    if (!ranges.length || !CSS.highlights) return;
    CSS.highlights.set("found", new Highlight(...ranges));
    CSS.highlights.set("current", new Highlight(ranges[this.#at]));
    this.#follow.checked = false;
    const top = ranges[this.#at].getBoundingClientRect().top - pane.getBoundingClientRect().top;
    pane.scrollTop += top - pane.clientHeight / 2;
  }

  async #download() {
    const stream = this.#shown;
    const answer = await send("GET", `tasks/${encodeURIComponent(this.#id)}/${stream}`);
    const url = URL.createObjectURL(await answer.blob());
    h("a", { href: url, download: `${this.#id}.${stream}.log` }).click();
    setTimeout(() => URL.revokeObjectURL(url), 60_000);
    say(`${stream} was downloaded.`);
  }
}
