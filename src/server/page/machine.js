// What this machine can enforce, and why not.

import { get } from "./api.js";
import { h, row, section, table } from "./dom.js";
import { time, title } from "./format.js";

const GROUPS = ["execution", "sandbox", "storage", "resources"];

export async function show(root, { signal }) {
  const [info, manifest] = await Promise.all([get("runtime/info", { signal }), get("runtime/capabilities", { signal })]);
  const { platform, warnings } = manifest;
  const facts = {
    Runtime: info.runtime_id,
    Version: info.version,
    "Started at": time(info.started_at),
    Platform: `${platform.os} ${platform.arch}${platform.containerized ? ", in a container" : ""}`,
    Draining: info.draining ? "yes" : "no",
  };
  root.append(
    h("h1", {}, "Machine"),
    h("dl.facts", {}, Object.entries(facts).map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)))),
    section(
      "Why not",
      warnings.length
        ? h("ul.notes", {}, warnings.map((text) => h("li", {}, text)))
        : h("p.dim", {}, "Everything that was tried works."),
    ),
    ...GROUPS.map((group) => section(title(group), rows(group, manifest[group]))),
  );
}

function rows(group, values) {
  return table(title(group), ["Capability", "Here"], flat(values).map(([name, value]) => row(title(name), shown(value))), "");
}

function flat(values, before = "") {
  return Object.entries(values).flatMap(([name, value]) =>
    typeof value === "object" ? flat(value, `${before}${name} `) : [[`${before}${name}`, value]],
  );
}

function shown(value) {
  if (typeof value !== "boolean") return String(value);
  return h(value ? "span.good" : "span.bad", {}, value ? "✓ yes" : "✗ no");
}
