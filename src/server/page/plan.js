// What was asked for beside what is enforced.

import { h, row, table } from "./dom.js";
import { bytes, count, duration, title, words } from "./format.js";

const LIMITS = {
  wall_time_ms: duration,
  cpu_time_sec: (seconds) => duration(seconds * 1000),
  memory_bytes: bytes,
  pids_max: count,
  cpu_millis: (millis) => `${millis / 1000} processors`,
  file_size_bytes: bytes,
  open_files: count,
  workspace_bytes: bytes,
  stdout_log_max_bytes: bytes,
  stderr_log_max_bytes: bytes,
};

export function plan({ requested_sandbox: asked, effective_sandbox: effective, ...rest }) {
  const { network, capability_mode: mode, resource_enforcement: limits } = rest;
  const { degraded, fallback_reasons: reasons = [], capability_warnings: warnings = [] } = rest;
  const by = limits.enforced_by ?? {};
  const rows = [
    row("Sandbox", words(asked), judged(asked === effective, words(effective))),
    network && row("Network", "", network),
    ...Object.entries(LIMITS)
      .filter(([name]) => limits[name] !== undefined)
      .map(([name, shown]) =>
        row(title(name), shown(limits[name]), judged(name in by, name in by ? `by ${words(by[name])}` : "not enforced")),
      ),
  ].filter(Boolean);
  return h(
    "div",
    {},
    degraded && h("p.warn", {}, "Degraded: not all that was asked for can be enforced on this machine."),
    table("Plan", ["What", "Requested", "Effective"], rows, ""),
    h("ul.notes", {}, reasons.map((text) => h("li.bad", {}, text)), warnings.map((text) => h("li", {}, text))),
    h("p.dim", {}, `Capability mode: ${mode}`),
  );
}

function judged(good, text) {
  return h(good ? "span.good" : "span.bad", {}, good ? "✓ " : "✗ ", text);
}
