// A form for a task, and the same as a command line.

import { address, get, post } from "./api.js";
import { fault, h } from "./dom.js";

const LIMITS = [
  ["wall_time_ms", "Time, ms", 300000],
  ["cpu_time_sec", "Processor time, s"],
  ["memory_bytes", "Memory, bytes"],
  ["pids_max", "Processes"],
];

export async function show(root, { query, signal }) {
  const from = query.get("from");
  const given = from ? await get(`tasks/${encodeURIComponent(from)}/request`, { signal }) : {};
  const { execution = {}, limits = {}, sandbox = {}, policy = {} } = given;
  // What the form has no field for goes along as it is.
  const rest = { ...given, task_id: undefined };
  const kind = choice("kind", "Kind", ["script", "command"], execution.kind);
  const text = h("textarea", { id: "text", rows: 6, spellcheck: "false", required: true });
  text.value = execution.script ?? (execution.program ? [execution.program, ...(execution.args ?? [])].join("\n") : "");
  const hint = h("p.dim", {});
  const id = field("task_id", "Id", "", "a UUID");
  const fields = LIMITS.map(([name, label, normal]) => field(name, label, limits[name] ?? "", normal ?? "no limit", "number"));
  const profile = choice("profile", "Sandbox", ["process", "linux_sandbox"], sandbox.profile);
  const mode = choice("mode", "When it cannot be enforced", ["", "adaptive", "strict"], policy.capability_mode);
  const [curl, said] = [h("pre", { id: "curl", tabindex: "0", "aria-label": "The same with curl" }), h("div")];

  const request = () => {
    const value = (element) => element.querySelector("input, select").value;
    const number = ([name], index) => [name, value(fields[index]) ? Number(value(fields[index])) : undefined];
    const script = value(kind) === "script";
    const [program, ...args] = text.value.split("\n");
    const what = script ? { script: text.value } : { program, args: args.filter((one, at) => one || at < args.length - 1) };
    const same = { ...execution, program: undefined, args: script ? execution.args : undefined, script: undefined };
    if (!script) same.interpreter = undefined;
    const asked = { ...limits, ...Object.fromEntries(LIMITS.map(number)) };
    return {
      ...rest,
      task_id: value(id) || undefined,
      execution: { ...same, ...what, kind: value(kind) },
      limits: Object.values(asked).some((limit) => limit !== undefined) ? asked : undefined,
      sandbox: { ...sandbox, profile: value(profile) },
      policy: value(mode) ? { ...policy, capability_mode: value(mode) } : undefined,
    };
  };
  const draw = () => {
    const script = kind.querySelector("select").value === "script";
    hint.textContent = script ? "Run by /bin/sh." : "The program, then one argument a line.";
    curl.textContent = command(request());
  };
  const submit = async (event) => {
    event.preventDefault();
    try {
      const { task_id: made } = await post("tasks", request());
      location.hash = `#/tasks/${encodeURIComponent(made)}`;
    } catch (error) {
      said.replaceChildren(fault(error));
    }
  };
  root.append(
    h("h1", {}, from ? `Submit ${from} again` : "Submit a task"),
    h(
      "form.submit",
      { oninput: draw, onsubmit: submit },
      h("div.fields", {}, kind, id, profile, mode),
      h("label", { for: "text" }, "What to run"),
      text,
      hint,
      h("div.fields", {}, fields),
      said,
      h("p.buttons", {}, h("button.main", { id: "submit" }, "Submit")),
    ),
    h("h2", {}, "The same with curl"),
    curl,
  );
  draw();
  text.focus();
}

function field(name, label, value, placeholder, type = "text") {
  return h("label", {}, label, h("input", { name, type, value, placeholder, min: type === "number" && 1 }));
}

function choice(name, label, options, chosen) {
  const all = options.map((one) => h("option", { value: one, selected: one === chosen }, one || "the server decides"));
  return h("label", {}, label, h("select", { name }, all));
}

function command(request) {
  const body = JSON.stringify(request, null, 2).replaceAll("'", String.raw`'\''`);
  return `curl -sS -X POST '${address("tasks")}' \\\n  -H 'content-type: application/json' \\\n  -d '${body}'`;
}
