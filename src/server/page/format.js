// Values as people read them.

const BYTES = ["B", "KiB", "MiB", "GiB", "TiB"];

export function bytes(number) {
  if (number === undefined) return "–";
  const unit = number < 1 ? 0 : Math.min(Math.floor(Math.log2(number) / 10), BYTES.length - 1);
  const value = number / 2 ** (10 * unit);
  return `${unit && value < 100 ? value.toFixed(1) : Math.round(value)} ${BYTES[unit]}`;
}

export function duration(ms) {
  if (ms === undefined || Number.isNaN(ms)) return "–";
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
  return hours ? `${hours} h ${minutes} min` : `${minutes} min ${seconds % 60} s`;
}

export function count(number) {
  return number === undefined ? "–" : number.toLocaleString("en");
}

/** `2026-11-25T01:11:54.980Z` as the local time, with the date where it is another day. */
export function time(text) {
  if (!text) return "–";
  const [at, now] = [new Date(text), new Date()];
  const clock = at.toLocaleTimeString([], { hour12: false });
  return at.toDateString() === now.toDateString() ? clock : `${at.toLocaleDateString()} ${clock}`;
}

export function since(from, to) {
  return new Date(to ?? Date.now()) - new Date(from);
}

export const words = (name) => name.replaceAll("_", " ");

/** At the beginning of a line. */
export const title = (name) => words(name).replace(/^./, (letter) => letter.toUpperCase());
