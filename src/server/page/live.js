// Doing something again when something has happened, and not more often than a person can see.

import { events } from "./api.js";

const APART_MS = 500;

/** Calls `update` now, and after events of tasks, until `signal`. What it throws ends it. */
export async function live(update, signal) {
  let due = true;
  let wake = () => {};
  let broken;
  const ring = () => {
    due = true;
    wake();
  };
  signal.addEventListener("abort", ring);
  const listen = async () => {
    for await (const _ of events("events", { signal })) ring();
  };
  listen().catch((error) => {
    broken = error;
    ring();
  });
  while (!signal.aborted) {
    if (!due) await new Promise((resolve) => (wake = resolve));
    if (signal.aborted) return;
    if (broken) throw broken;
    due = false;
    try {
      await update();
    } catch (error) {
      if (signal.aborted) return;
      // The server is away: the feed comes back with it.
      if (error.status !== undefined) throw error;
      setTimeout(ring, 2 * APART_MS);
    }
    await new Promise((resolve) => setTimeout(resolve, APART_MS));
  }
}
