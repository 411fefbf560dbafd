import assert from "node:assert/strict";
import { test } from "node:test";
import { AgentClientError, type ClientPort, createClient } from "./client.ts";
import type { Command, EventWire, ReadyReport, Report } from "./generated/wire.ts";

const START = { agent_url: "a", site_url: "s", threads: null, allow_download: false, remote: null };
const READY: ReadyReport = { type: "ready", name: "n", tools: [], models: [], remote_models: [], milliseconds: {} };
const MODEL = { model_id: "tiny", availability: "available", size_bytes: 1, license: "" } as const;
const ERROR = { name: "StorageError", message: "the store failed", is_retryable: false };

/** A worker whose reports the test writes itself. */
function fakeWorker() {
  const target = new EventTarget();
  const sent: Command[] = [];
  const port: ClientPort = {
    postMessage: (text) => void sent.push(JSON.parse(text) as Command),
    addEventListener: (type: string, listener: (event: never) => void) =>
      target.addEventListener(type, listener as EventListener),
    removeEventListener: (type: string, listener: (event: never) => void) =>
      target.removeEventListener(type, listener as EventListener),
  };
  return {
    port,
    sent,
    report: (report: Report) => target.dispatchEvent(new MessageEvent("message", { data: JSON.stringify(report) })),
    crash: () => target.dispatchEvent(new Event("error")),
  };
}

function event(runId: string, id: number, type: "turn_start" | "run_end"): EventWire {
  const usage = { input_tokens: 0, output_tokens: 0, cached_tokens: 0, reasoning_tokens: 0 };
  if (type === "turn_start") return { type, id, run_id: runId, turn: 1 };
  return { type, id, run_id: runId, finish_reason: "stop", turns: 1, usage };
}

test("the start command goes first and ready is heard", async () => {
  const worker = fakeWorker();
  const client = createClient(worker.port, START);
  worker.report(READY);

  assert.deepEqual(worker.sent, [{ type: "start", ...START }]);
  assert.deepEqual(await client.ready, READY);
});

test("each run reads its own events, in order, up to its end", async () => {
  const worker = fakeWorker();
  const client = createClient(worker.port, START);
  const runs = [client.run("c", [{ type: "text", text: "1" }]), client.run("c", [{ type: "text", text: "2" }])];
  for (const type of ["turn_start", "run_end"] as const) {
    for (const { runId } of runs) {
      worker.report({ type: "events", run_id: runId, events: [event(runId, type === "run_end" ? 1 : 0, type)] });
    }
  }

  for (const run of runs) {
    const seen: unknown[] = [];
    for await (const { id, run_id } of run) seen.push([id, run_id]);
    assert.deepEqual(seen, [
      [0, run.runId],
      [1, run.runId],
    ]);
  }
});

test("cancel and approve name their run", () => {
  const worker = fakeWorker();
  const run = createClient(worker.port, START).run("c", []);
  run.approve("call", true);
  run.cancel();

  const { runId: run_id } = run;
  assert.deepEqual(worker.sent.slice(2), [
    { type: "approve", run_id, call_id: "call", approved: true },
    { type: "cancel", run_id },
  ]);
});

test("a download tells its progress and its end", async () => {
  const worker = fakeWorker();
  const client = createClient(worker.port, START);
  const seen: number[] = [];
  const done = client.download("tiny", ({ loaded }) => seen.push(loaded));
  const progress = { type: "download_progress", model_id: "tiny", status: "download", file: "f", total: 2 } as const;
  worker.report({ ...progress, loaded: 1 });
  worker.report({ ...progress, loaded: 2 });
  worker.report({ type: "model", model: MODEL });

  assert.deepEqual([await done, seen], [MODEL, [1, 2]]);
});

test("a download that fails rejects with the error's kind", async () => {
  const worker = fakeWorker();
  const done = createClient(worker.port, START).download("tiny");
  worker.report({ type: "model", model: { ...MODEL, availability: "downloadable" }, error: ERROR });

  await assert.rejects(done, (error) => error instanceof AgentClientError && error.kind === "StorageError");
});

test("history answers all who asked", async () => {
  const worker = fakeWorker();
  const client = createClient(worker.port, START);
  const asked = [client.history("c"), client.history("c")];
  worker.report({ type: "history", conversation_id: "c", messages: [] });

  assert.deepEqual(await Promise.all(asked), [[], []]);
});

test("a failed start rejects ready and ends the runs", async () => {
  const worker = fakeWorker();
  const client = createClient(worker.port, START);
  const run = client.run("c", []);
  worker.report({ type: "error", error: ERROR });

  await assert.rejects(client.ready, /the store failed/);
  await assert.rejects(async () => {
    for await (const _ of run);
  }, /the store failed/);
});

test("a later error is told and leaves the runs alone", async () => {
  const worker = fakeWorker();
  const told: string[] = [];
  const client = createClient(worker.port, START, { onError: (error) => told.push(error.kind) });
  worker.report(READY);
  const run = client.run("c", []);
  worker.report({ type: "error", error: ERROR });
  worker.report({ type: "events", run_id: run.runId, events: [event(run.runId, 0, "run_end")] });

  const seen: string[] = [];
  for await (const { type } of run) seen.push(type);
  assert.deepEqual([told, seen], [["StorageError"], ["run_end"]]);
});

test("a worker that breaks down ends what waits for it, also what is asked later", async () => {
  const worker = fakeWorker();
  const client = createClient(worker.port, START);
  worker.report(READY);
  const run = client.run("c", []);
  worker.crash();

  for (const each of [run, client.run("c", [])]) {
    await assert.rejects(async () => {
      for await (const _ of each);
    }, /broke down/);
  }
});

test("closing twice is harmless, and nothing is sent afterwards", async () => {
  const worker = fakeWorker();
  const client = createClient(worker.port, START);
  client.close();
  client.close();
  client.configure(null);

  assert.equal(worker.sent.length, 1);
  await assert.rejects(client.ready, /closed/);
});

test("a reader grants more events as it reads, and none while it does not", async () => {
  const worker = fakeWorker();
  const run = createClient(worker.port, START).run("c", []);
  const events = Array.from({ length: 512 }, (_, id) => event(run.runId, id, "turn_start"));
  worker.report({ type: "events", run_id: run.runId, events });
  const granted = () => worker.sent.filter((command) => command.type === "credit").map(({ count }) => count);
  const reader = run[Symbol.asyncIterator]();

  for (let count = 0; count < 255; count++) await reader.next();
  assert.deepEqual(granted(), []);
  for (let count = 255; count < 512; count++) await reader.next();

  assert.deepEqual(granted(), [256, 256]);
});

test("the page's functions are called, and what they throw is an answer", async () => {
  const worker = fakeWorker();
  createClient(worker.port, START, {
    answerTool: async ({ name }) => {
      if (name === "fail") throw new Error("no such colour");
      return { was: "blue" };
    },
  });
  const request = { type: "tool_request", agent_id: "", arguments: {} } as const;
  worker.report({ ...request, request_id: "1", name: "set_colour" });
  worker.report({ ...request, request_id: "2", name: "fail" });
  await new Promise((resolve) => setTimeout(resolve));

  assert.deepEqual(worker.sent.slice(1), [
    { type: "tool_output", request_id: "1", content: { was: "blue" }, is_error: false },
    { type: "tool_output", request_id: "2", content: "no such colour", is_error: true },
  ]);
});

test("a call that is taken back aborts its signal", async () => {
  const worker = fakeWorker();
  let seen: AbortSignal | undefined;
  createClient(worker.port, START, {
    answerTool: (_, signal) => {
      seen = signal;
      return new Promise(() => undefined);
    },
  });
  worker.report({ type: "tool_request", request_id: "1", agent_id: "", name: "wait", arguments: {} });
  worker.report({ type: "tool_cancel", request_id: "1" });

  assert.equal(seen?.aborted, true);
});

test("each request is settled by its own report", async () => {
  const worker = fakeWorker();
  const client = createClient(worker.port, START);
  worker.report(READY);
  const list = client.conversations();
  const renamed = client.rename("c", "Eggs");
  const [first, second] = worker.sent.slice(1).map((command) => ("request_id" in command ? command.request_id : ""));
  worker.report({ type: "done", request_id: second ?? "", error: ERROR });
  worker.report({ type: "conversations", request_id: first ?? "", conversations: [] });

  assert.deepEqual(await list, []);
  await assert.rejects(renamed, { kind: "StorageError" });
});

test("what is kept of local models, and what the device can do", async () => {
  const worker = fakeWorker();
  const client = createClient(worker.port, START);
  worker.report(READY);
  const storage = { store: "s", usage_bytes: 1, quota_bytes: 2, is_persisted: false };
  const models = [{ model_id: "tiny", size_bytes: 2, stored_bytes: 1, is_complete: false, used_at: 3 }];
  const answers = [client.models(), client.device(), client.deleteModel("tiny"), client.deleteModel("other")] as const;
  const sent = worker.sent.slice(1);
  const [first, second, third, fourth] = sent.map((command) => ("request_id" in command ? command.request_id : ""));
  worker.report({ type: "done", request_id: fourth ?? "", error: ERROR });
  worker.report({ type: "done", request_id: third ?? "" });
  worker.report({ type: "device", request_id: second ?? "", device: null });
  worker.report({ type: "models", request_id: first ?? "", models, storage });

  await assert.rejects(answers[3], { kind: "StorageError" });
  assert.deepEqual(await Promise.all(answers.slice(0, 3)), [
    { type: "models", request_id: first, models, storage },
    null,
    undefined,
  ]);
  assert.deepEqual(sent, [
    { type: "models", request_id: first },
    { type: "device", request_id: second },
    { type: "delete_model", request_id: third, model_id: "tiny" },
    { type: "delete_model", request_id: fourth, model_id: "other" },
  ]);
});

test("one more agent is there, or says why not", async () => {
  const worker = fakeWorker();
  const client = createClient(worker.port, START);
  const agent = { agent_url: "b", remote: null };
  const good = client.addAgent({ agent_id: "1", ...agent });
  const bad = client.addAgent({ agent_id: "2", ...agent });
  const report = { type: "agent", name: "n", tools: [], models: [], remote_models: [] } as const;
  worker.report({ ...report, tools: [], models: [], remote_models: [], agent_id: "2", error: ERROR });
  worker.report({ ...report, tools: [], models: [], remote_models: [], agent_id: "1" });

  assert.equal((await good).agent_id, "1");
  await assert.rejects(bad, { kind: "StorageError" });
});
