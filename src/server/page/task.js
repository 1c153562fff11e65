// One task: its state, output, timeline and plan.

import { events, get, send } from "./api.js";
import { fault, h, say, section } from "./dom.js";
import { bytes, duration, since, time } from "./format.js";
import { Output } from "./output.js";
import { plan } from "./plan.js";
import { mark, reason } from "./row.js";
import { timeline } from "./timeline.js";

const TERMINAL = ["success", "failed", "cancelled"];
const TICK_MS = 1000;

export async function show(root, { parameter: id, signal }) {
  const path = `tasks/${encodeURIComponent(id)}`;
  let status = await get(path, { signal });
  const [head, error, line, enforced] = [h("div"), h("div"), h("div"), h("div")];
  const output = new Output(id);
  const seen = [];
  const actions = buttons(id, path);
  root.append(
    h("div.title", {}, h("h1.id", {}, id), actions),
    head,
    error,
    section("Output", output.element),
    section("Timeline", line),
    section("Requested and effective", enforced),
  );
  const draw = () => {
    const ended = TERMINAL.includes(status.status);
    head.replaceChildren(summary(status));
    error.replaceChildren(status.error ? fault(status.error) : "");
    line.replaceChildren(timeline(seen, ended));
    actions.querySelector("#kill").disabled = ended;
  };
  enforced.append(plan(status.execution_plan));
  draw();
  const clock = setInterval(() => !TERMINAL.includes(status.status) && draw(), TICK_MS);
  signal.addEventListener("abort", () => clearInterval(clock));
  for await (const { event, data } of events(`${path}/stream`, { signal })) {
    if (event === "output") output.add(data);
    else if (event === "event") seen.push(data);
    else if (event === "status") {
      if (status.status !== data.status) say(`The task is now ${data.status}.`);
      status = { ...status, ...data };
    }
    if (event !== "output") draw();
  }
}

function summary(task) {
  const { created_at: created, started_at: started, finished_at: finished, usage = {}, metadata = {} } = task;
  const ran = started ? (task.duration_ms !== undefined && finished ? task.duration_ms : since(started, finished)) : undefined;
  const facts = {
    State: [mark(task.status), " ", reason(task)],
    Submitted: time(created),
    Waited: duration(since(created, started ?? finished)),
    Ran: duration(ran),
    "Processor time": usage.user_cpu_ms === undefined ? "–" : duration(usage.user_cpu_ms + (usage.system_cpu_ms ?? 0)),
    "Memory, most": bytes(usage.memory_peak_bytes ?? usage.max_rss_bytes),
    ...metadata,
  };
  return h("dl.facts", {}, Object.entries(facts).map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
}

function buttons(id, path) {
  const said = h("span", { role: "status" });
  const owner = h("input", { "aria-label": "Owner of the task", placeholder: "owner of the task", hidden: true });
  const kill = async () => {
    const headers = owner.value ? { "x-execgo-owner": owner.value } : {};
    try {
      await send("POST", `${path}/kill`, { headers });
      said.textContent = "asked to end";
    } catch (error) {
      said.textContent = error.message;
      if (error.status === 403) owner.hidden = false;
    }
  };
  return h(
    "div.buttons",
    {},
    said,
    owner,
    h("a.button", { href: `#/submit?from=${encodeURIComponent(id)}` }, "Submit again"),
    h("button.danger", { type: "button", id: "kill", onclick: kill }, "Kill"),
  );
}
