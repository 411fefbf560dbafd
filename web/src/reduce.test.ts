import assert from "node:assert/strict";
import { test } from "node:test";
import type { EventWire, MessageWire } from "./generated/wire.ts";
import { breakOff, type ChatState, decide, EMPTY, type Entry, reduce, restore, submit } from "./reduce.ts";

type Unnumbered<E> = E extends EventWire ? Omit<E, "id" | "run_id"> : never;

const USAGE = { input_tokens: 1, output_tokens: 1, cached_tokens: 0, reasoning_tokens: 0 };

function play(...events: readonly Unnumbered<EventWire>[]): ChatState {
  return events.reduce<ChatState>(
    (state, event, id) => reduce(state, { ...event, id, run_id: "r" } as EventWire),
    submit(EMPTY, "r", "hello"),
  );
}

function last(state: ChatState): Entry | undefined {
  return state.entries.at(-1);
}

const TURN = { type: "turn_start", turn: 1 } as const;
const SURE = { type: "model_start", model: "local:needle", confidence: 0.9 } as const;
const CALL = { call_id: "c1", name: "set_timer" } as const;
const WHOLE_CALL = [
  TURN,
  SURE,
  { type: "tool_call_start", ...CALL },
  { type: "tool_call_end", ...CALL, arguments: '{"minutes": 10}' },
] as const;
const RUN_END = { type: "run_end", finish_reason: "stop", turns: 1, usage: USAGE } as const;

test("streamed text grows in one entry that names its model", () => {
  const state = play(
    TURN,
    SURE,
    { type: "text_start", part_id: "0" },
    { type: "text_delta", part_id: "0", text: "Hel" },
    { type: "text_delta", part_id: "0", text: "lo" },
  );

  const said = { model: "local:needle", confidence: 0.9 };
  assert.equal(state.status, "streaming");
  assert.deepEqual(last(state), { kind: "text", key: "r/1/0", turn: 1, text: "Hello", isOpen: true, ...said });
});

test("a call goes from being written to its result", () => {
  const states = ["writing", "running", "waiting", "running", "done"];
  const seen: unknown[] = [];
  const events: readonly Unnumbered<EventWire>[] = [
    TURN,
    SURE,
    { type: "tool_call_start", ...CALL },
    { type: "tool_call_end", ...CALL, arguments: "{}" },
    { type: "approval", ...CALL, arguments: "{}" },
    { type: "tool_progress", call_id: "c1", content: "half" },
    { type: "tool_result", ...CALL, content: "set", is_error: false },
  ];
  for (let count = 3; count <= events.length; count++) {
    const entry = last(play(...events.slice(0, count)));
    seen.push(entry?.kind === "tool" ? entry.status : entry);
  }

  assert.deepEqual(seen, states);
});

test("arguments that arrive in pieces are replaced by the whole text", () => {
  const state = play(
    TURN,
    SURE,
    { type: "tool_call_start", ...CALL },
    { type: "tool_call_delta", call_id: "c1", arguments: '{"minu' },
    { type: "tool_call_end", ...CALL, arguments: '{"minutes": 10}' },
  );

  const entry = last(state);
  assert.equal(entry?.kind === "tool" && entry.arguments, '{"minutes": 10}');
});

test("a fallback says why and who is asked instead", () => {
  const state = play(TURN, {
    type: "fallback",
    from_model: "local:needle",
    to_model: "openai:gpt-5-mini",
    reason: "low_confidence",
    message: "the local model was not sure (0.12)",
  });

  assert.deepEqual(last(state), {
    kind: "notice",
    key: "r/notice/1",
    turn: 1,
    text: "the local model was not sure (0.12); asked openai:gpt-5-mini instead",
  });
});

test("loading is shown until the model is ready", () => {
  const progress = { type: "progress", model: "local:needle", file: "weights.bin", total: 10 } as const;

  assert.equal(play(TURN, { ...progress, status: "download", loaded: 4 }).load?.loaded, 4);
  assert.equal(play(TURN, { ...progress, status: "ready", loaded: 10 }).load, null);
});

test("a turn that is taken back leaves the user's words and the notices", () => {
  const notice = { type: "retry", model: "m", attempt: 1, delay_seconds: 0.5, reason: "rate_limited" } as const;
  const state = play(
    TURN,
    { ...notice, message: "too many requests" },
    SURE,
    { type: "text_start", part_id: "0" },
    { type: "hook_action", hook: "Guard", point: "before_tool", action: "skip", reason: "not at night" },
    { type: "output_update", value: { a: 1 }, is_whole: true },
    { type: "turn_reset", turn: 1, message: "again" },
  );

  assert.deepEqual(
    state.entries.map((entry) => entry.kind),
    ["user", "notice", "notice"],
  );
});

test("a stopped run closes what was open and says so", () => {
  const state = play(...WHOLE_CALL, { ...RUN_END, finish_reason: "cancelled" });

  assert.equal(state.status, "idle");
  assert.deepEqual(
    state.entries.map((entry) => (entry.kind === "tool" ? entry.status : entry.kind)),
    ["user", "stopped", "notice"],
  );
});

test("a failed run ends with its message", () => {
  const state = play(TURN, { type: "run_error", name: "OfflineError", message: "no network", is_retryable: false });

  assert.deepEqual([state.status, last(state)], ["idle", { kind: "error", key: "r/end", turn: 1, text: "no network" }]);
});

test("a worker that breaks down ends the run too", () => {
  const state = breakOff(play(...WHOLE_CALL), "the worker broke down");

  assert.equal(state.runId, null);
  assert.equal(last(state)?.kind, "error");
});

test("events of another run change nothing", () => {
  const state = play(TURN);

  assert.equal(reduce(state, { ...SURE, id: 9, run_id: "another" }), state);
});

test("a decision shows at once", () => {
  const waiting = play(...WHOLE_CALL, { type: "approval", ...CALL, arguments: "{}" });

  const entry = last(decide(waiting, "c1", true));
  assert.equal(entry?.kind === "tool" && entry.status, "running");
});

test("the same call id in two runs is two entries", () => {
  const first = play(...WHOLE_CALL, { type: "tool_result", ...CALL, content: "one", is_error: false }, RUN_END);
  const events = WHOLE_CALL.map((event, id) => ({ ...event, id, run_id: "s" }) as EventWire);
  const state = events.reduce(reduce, submit(first, "s", "again"));

  assert.deepEqual(
    state.entries.filter((entry) => entry.kind === "tool").map((entry) => entry.status),
    ["done", "running"],
  );
});

test("a kept conversation is shown with the results in their calls", () => {
  const messages: readonly MessageWire[] = [
    { role: "user", parts: [{ type: "text", text: "ten minutes" }] },
    {
      role: "assistant",
      model: "local:needle",
      parts: [{ type: "tool_call", id: "c1", name: "set_timer", arguments: "{}" }],
    },
    { role: "tool", parts: [{ type: "tool_result", id: "c1", name: "set_timer", content: "no", is_error: true }] },
    { role: "assistant", parts: [{ type: "text", text: "It failed." }] },
  ];

  const { entries, status } = restore(messages);
  assert.equal(status, "idle");
  assert.deepEqual(
    entries.map((entry) => (entry.kind === "tool" ? [entry.status, entry.result] : entry.kind)),
    ["user", ["failed", "no"], "text"],
  );
});
