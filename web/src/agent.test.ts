import assert from "node:assert/strict";
import { test } from "node:test";
import { type AgentOptions, createAgent } from "./agent.ts";
import type { Command, EventWire, HistoryReport, MessageWire, ReadyReport, Report } from "./generated/wire.ts";
import { createRuntime } from "./runtime.ts";

const USAGE = { input_tokens: 1, output_tokens: 1, cached_tokens: 0, reasoning_tokens: 0 };
type Unnumbered<E> = E extends EventWire ? Omit<E, "id" | "run_id"> : never;

const HELLO: readonly Unnumbered<EventWire>[] = [
  { type: "turn_start", turn: 1 },
  { type: "model_start", model: "m", confidence: null },
  { type: "text_start", part_id: "0" },
  { type: "text_delta", part_id: "0", text: "Hello." },
  { type: "text_end", part_id: "0" },
];
const END: Unnumbered<EventWire> = { type: "run_end", finish_reason: "stop", turns: 1, usage: USAGE };
const KEPT: readonly MessageWire[] = [
  { role: "user", parts: [{ type: "text", text: "Hi" }] },
  { role: "assistant", parts: [{ type: "text", text: "Hello." }] },
];

/** Workers whose reports the test writes; each history is answered with `messages`. */
function fakeWorkers() {
  const workers: FakeWorker[] = [];
  const runtime = createRuntime({
    baseUrl: "http://site/",
    startWorker() {
      const worker = new FakeWorker();
      workers.push(worker);
      return worker as unknown as Worker;
    },
  });
  return { runtime, workers };
}

class FakeWorker extends EventTarget {
  static next: Omit<HistoryReport, "type" | "conversation_id"> = { messages: [] };
  readonly sent: Command[] = [];
  history = FakeWorker.next;
  isTerminated = false;

  postMessage(text: string): void {
    const command = JSON.parse(text) as Command;
    this.sent.push(command);
    if (command.type === "start") this.report({ ...READY });
    if (command.type === "add_agent") this.report({ ...READY, type: "agent", agent_id: command.agent_id });
    if (command.type === "history") {
      this.report({ type: "history", conversation_id: command.conversation_id, ...this.history });
    }
    if (command.type === "import" || command.type === "erase") {
      this.report({ type: "done", request_id: command.request_id });
    }
  }

  terminate(): void {
    this.isTerminated = true;
  }

  report(report: Report): void {
    queueMicrotask(() => this.dispatchEvent(new MessageEvent("message", { data: JSON.stringify(report) })));
  }

  tell(...events: readonly Unnumbered<EventWire>[]): void {
    const run = this.last("run") ?? this.last("resume");
    assert.ok(run && "run_id" in run);
    const run_id = run.run_id;
    this.report({ type: "events", run_id, events: events.map((event, id) => ({ ...event, id, run_id }) as EventWire) });
  }

  last(type: Command["type"]): Command | undefined {
    return this.sent.findLast((command) => command.type === type);
  }
}

const READY: ReadyReport = { type: "ready", name: "n", tools: [], models: [], remote_models: [], milliseconds: {} };

function start(options: Partial<AgentOptions> = {}) {
  const { runtime, workers } = fakeWorkers();
  const agent = createAgent({ src: "http://site/agent.py", runtime, ...options });
  const [worker] = workers;
  assert.ok(worker);
  return { agent, worker, workers, runtime };
}

test("a message goes from submitted over streaming to ready", async () => {
  const { agent, worker } = start();
  await agent.ready;
  const statuses: string[] = [agent.status];
  agent.subscribe(() => statuses.at(-1) !== agent.status && statuses.push(agent.status));
  worker.history = { messages: [...KEPT] };

  const run = agent.sendMessage("Hi");
  worker.tell(...HELLO, END);
  await run.done;

  assert.deepEqual(statuses, ["ready", "submitted", "streaming", "ready"]);
  assert.deepEqual(agent.messages, KEPT);
});

test("whoever iterates gets every event, and a slow one holds the run up", async () => {
  const { agent, worker } = start();
  const deltas = Array.from({ length: 200 }, () => ({ type: "text_delta", part_id: "0", text: "x" }) as const);
  const run = agent.sendMessage("Hi");
  worker.tell(...HELLO, ...deltas, END);
  const seen: string[] = [];
  let heard = 0;
  agent.subscribe(() => {
    heard += 1;
  });

  for await (const event of run) {
    seen.push(event.type);
    if (seen.length === 1) {
      await new Promise((resolve) => setTimeout(resolve, 5));
      assert.ok(heard < 80, `${heard} events were taken ahead of the reader`);
    }
  }

  assert.equal(seen.length, HELLO.length + 201);
  assert.equal(seen.at(-1), "run_end");
});

test("a reader that leaves does not hold the run up", async () => {
  const { agent, worker } = start();
  const deltas = Array.from({ length: 200 }, () => ({ type: "text_delta", part_id: "0", text: "x" }) as const);
  const run = agent.sendMessage("Hi");
  worker.tell(...HELLO, ...deltas, END);
  for await (const _ of run) break;
  await run.done;

  assert.equal(agent.status, "ready");
});

test("one run at a time, and a signal stops it", async () => {
  const { agent, worker } = start();
  const stop = new AbortController();
  const run = agent.sendMessage("Hi", { signal: stop.signal });
  assert.throws(() => agent.sendMessage("More"), /goes on/);
  stop.abort();
  worker.tell({ ...END, finish_reason: "cancelled" } as Unnumbered<EventWire>);
  await run.done;

  assert.equal(worker.last("cancel")?.type, "cancel");
});

test("regenerating begins where the last message of the user stood", async () => {
  const { agent, worker } = start();
  worker.history = { messages: [...KEPT] };
  const first = agent.sendMessage("Hi");
  worker.tell(...HELLO, END);
  await first.done;
  agent.regenerate();

  const { parts, beginning, conversation_id } = worker.last("run") as Command & { type: "run" };
  assert.deepEqual(parts, [{ type: "text", text: "Hi" }]);
  assert.deepEqual(beginning, { conversation_id, message_count: 0 });
  assert.deepEqual(
    agent.state.entries.map((entry) => entry.kind),
    ["user"],
  );
});

test("an error ends in the status error, and the next message clears it", async () => {
  const { agent, worker } = start();
  const run = agent.sendMessage("Hi");
  worker.tell({ type: "run_error", name: "ModelError", message: "no", is_retryable: true });
  await run.done;
  assert.deepEqual([agent.status, agent.error?.message], ["error", "no"]);
  agent.sendMessage("Again");

  assert.deepEqual([agent.status, agent.error], ["submitted", null]);
});

test("a branch is a new conversation with the first messages", async () => {
  const { agent, worker } = start({ conversationId: "c" });
  worker.history = { messages: [...KEPT] };
  await agent.open("c");
  const id = await agent.branch(1);

  const brought = worker.last("import") as Command & { type: "import" };
  assert.deepEqual([brought.conversation_id, brought.messages], [id, KEPT.slice(0, 1)]);
  assert.equal(agent.conversationId, id);
});

test("a tool without a function waits for its output", async () => {
  const tool = { name: "pick", description: "Pick one.", parameters: { type: "object" } };
  const { agent, worker } = start({ tools: [tool] });
  agent.sendMessage("Hi");
  const call = { call_id: "c1", name: "pick" };
  worker.tell({ type: "tool_call_start", ...call }, { type: "tool_call_end", ...call, arguments: '{"b":1,"a":2}' });
  worker.report({ type: "tool_request", request_id: "q", agent_id: "agent0", name: "pick", arguments: { a: 2, b: 1 } });
  await new Promise((resolve) => setTimeout(resolve));

  agent.addToolOutput({ toolCallId: "c1", output: "red" });
  await new Promise((resolve) => setTimeout(resolve));

  const output = { type: "tool_output", request_id: "q", content: "red", is_error: false };
  assert.deepEqual(worker.last("tool_output"), output);
  assert.throws(() => agent.addToolOutput({ toolCallId: "c1", output: "blue" }), /waits/);
});

test("agents share a worker, which goes with the last of them", async () => {
  const { agent, workers, worker, runtime } = start();
  const other = createAgent({ src: "http://site/other.py", runtime });
  await other.ready;
  assert.equal(workers.length, 1);
  agent.close();
  assert.equal(worker.isTerminated, false);
  other.close();
  other.close();

  assert.equal(worker.isTerminated, true);
});

test("a run goes on in a new worker when the first one broke down", async () => {
  const { agent, worker, workers } = start();
  const run = agent.sendMessage("Hi");
  worker.tell(...HELLO);
  await new Promise((resolve) => setTimeout(resolve));
  FakeWorker.next = { messages: [...KEPT.slice(0, 1)], open_run_id: run.runId };
  worker.dispatchEvent(new Event("error"));
  for (let count = 0; count < 50 && !workers[1]?.last("resume"); count++) {
    await new Promise((resolve) => setTimeout(resolve));
  }
  FakeWorker.next = { messages: [] };
  const second = workers[1];
  assert.ok(second);
  assert.ok(second.last("resume"));
  second.tell({ type: "turn_reset", turn: 1, message: "again" }, ...HELLO.slice(1), END);
  await run.done;

  assert.equal(worker.isTerminated, true);
  assert.deepEqual(
    agent.state.entries.map((entry) => "text" in entry && entry.text),
    ["Hi", "Hello."],
  );
});
