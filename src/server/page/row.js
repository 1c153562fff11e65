// A task as a row of a table.

import { h, row } from "./dom.js";
import { duration, since, time, words } from "./format.js";

export const HEADS = ["Task", "State", "Reason", "Submitted", "Waited", "Ran"];

export function mark(status) {
  return h(`span.state.s-${status}`, {}, words(status));
}

export function link(id) {
  return h("a.id", { href: `#/tasks/${encodeURIComponent(id)}` }, id);
}

export function reason({ error, exit_code: exit, exit_signal: signal }) {
  if (error) return words(error.code);
  if (signal !== undefined) return `signal ${signal}`;
  return exit === undefined ? "" : `exit ${exit}`;
}

export function taskRow(task) {
  const { task_id: id, status, created_at: created, started_at: started, finished_at: finished } = task;
  return row(
    link(id),
    mark(status),
    reason(task),
    h("time", { datetime: created }, time(created)),
    duration(since(created, started ?? finished)),
    started ? duration(task.duration_ms ?? since(started, finished)) : "–",
  );
}
