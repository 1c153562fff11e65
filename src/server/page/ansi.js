// Text with the terminal's colours (SGR, ECMA-48 8.3.117) as elements. Other control sequences are left out.

const ESCAPE = /\x1b(?:\[([0-9;:]*)([@-~])|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\^_=>])/g;
const CUT = /\x1b(?:\[[0-9;:]*|\][^\x07\x1b]*\x1b?)?$/;
const CUBE = [0, 95, 135, 175, 215, 255];

/** Keeps what colours are on from one piece of text to the next. */
export class Ansi {
  #style = {};
  #rest = "";

  /** The elements of the next piece. */
  add(text) {
    const whole = this.#rest + text;
    this.#rest = CUT.exec(whole)?.[0] ?? "";
    const shown = whole.slice(0, whole.length - this.#rest.length);
    const parts = [];
    let from = 0;
    for (const match of shown.matchAll(ESCAPE)) {
      this.#push(parts, shown.slice(from, match.index));
      from = match.index + match[0].length;
      if (match[2] === "m") this.#apply(match[1]);
    }
    this.#push(parts, shown.slice(from));
    return parts;
  }

  #push(parts, text) {
    if (!text) return;
    const { bold, dim, italic, underline, inverse, ink, paper } = this.#style;
    if (Object.keys(this.#style).length === 0) return parts.push(document.createTextNode(text));
    const span = document.createElement("span");
    span.textContent = text;
    span.className = Object.entries({ bold, dim, italic, underline, inverse })
      .filter(([, on]) => on)
      .map(([name]) => `a-${name}`)
      .join(" ");
    colour(span, "color", "ink", ink);
    colour(span, "background-color", "paper", paper);
    parts.push(span);
  }

  #apply(text) {
    const codes = text.split(/[;:]/).map(Number);
    while (codes.length) {
      const code = codes.shift();
      const style = this.#style;
      if (code === 0) this.#style = {};
      else if (code === 1) style.bold = true;
      else if (code === 2) style.dim = true;
      else if (code === 3) style.italic = true;
      else if (code === 4) style.underline = true;
      else if (code === 7) style.inverse = true;
      else if (code === 22) [style.bold, style.dim] = [false, false];
      else if (code === 23) style.italic = false;
      else if (code === 24) style.underline = false;
      else if (code === 27) style.inverse = false;
      else if (code === 38) style.ink = extended(codes);
      else if (code === 48) style.paper = extended(codes);
      else if (code === 39) delete style.ink;
      else if (code === 49) delete style.paper;
      else if (code >= 30 && code <= 37) style.ink = code - 30;
      else if (code >= 40 && code <= 47) style.paper = code - 40;
      else if (code >= 90 && code <= 97) style.ink = code - 82;
      else if (code >= 100 && code <= 107) style.paper = code - 92;
    }
  }
}

function colour(span, property, kind, value) {
  if (value === undefined) return;
  if (typeof value === "number") span.classList.add(`a-${kind}-${value}`);
  else span.style.setProperty(property, value);
}

/** What follows 38 and 48: `5;n` of 256 colours, or `2;r;g;b`. */
function extended(codes) {
  const kind = codes.shift();
  if (kind === 2) return `rgb(${codes.splice(0, 3).map((part) => part & 255).join(" ")})`;
  if (kind !== 5) return undefined;
  const number = codes.shift() & 255;
  if (number < 16) return number;
  if (number >= 232) return `rgb(${Array(3).fill(8 + 10 * (number - 232)).join(" ")})`;
  const at = number - 16;
  return `rgb(${[Math.floor(at / 36), Math.floor(at / 6) % 6, at % 6].map((part) => CUBE[part]).join(" ")})`;
}
