/** The timeline of a run, as a pure function of its events. */

import assert from "node:assert/strict";
import { test } from "node:test";
import type { EventWire } from "./generated/wire.ts";
import { addToTrace, dollars, startTrace, type Trace } from "./trace.ts";

const USAGE = { input_tokens: 100, output_tokens: 20, cached_tokens: 40, reasoning_tokens: 0 };

function draw(events: readonly (readonly [number, Record<string, unknown>])[]): Trace {
  return events.reduce(
    (trace, [now, event], id) => addToTrace(trace, { id, run_id: "r", ...event } as EventWire, now),
    startTrace("r", 0),
  );
}

const CALLED = [
  [0, { type: "turn_start", turn: 1 }],
  [30, { type: "model_start", model: "openai:gpt-5-mini", confidence: null }],
  [50, { type: "tool_call_end", call_id: "c", name: "order", arguments: "{}" }],
  [51, { type: "approval", call_id: "c", name: "order", arguments: "{}" }],
  [80, { type: "tool_result", call_id: "c", name: "order", content: "ordered", is_error: false }],
  [
    81,
    { type: "turn_end", turn: 1, model: "openai:gpt-5-mini", finish_reason: "tool_calls", usage: USAGE, cost: 0.001 },
  ],
] as const;

test("a model, its tool and the approval are rows beside each other", () => {
  const { rows } = draw(CALLED);

  assert.deepEqual(
    rows.map(({ kind, label, from, to }) => [kind, label, from, to]),
    [
      ["model", "openai:gpt-5-mini", 0, 50],
      ["tool", "order", 50, 80],
      ["approval", "order: your approval", 51, 80],
    ],
  );
  assert.equal(rows[0]?.detail, "first word after 30 ms, 100 tokens in, 20 out, $0.0010");
});

test("tokens and costs are summed, and what has no price is left out", () => {
  const local = { type: "turn_end", turn: 2, model: "local:needle", finish_reason: "stop", usage: USAGE };

  const trace = draw([...CALLED, [90, local], [95, { ...local, turn: 3, cost: 0.25 }]]);

  assert.deepEqual([trace.inputTokens, trace.outputTokens, trace.cachedTokens], [300, 60, 120]);
  assert.ok(Math.abs((trace.cost ?? 0) - 0.251) < 1e-9);
  assert.equal(draw([CALLED[0]]).cost, null);
});

test("what was refused, taken back and tried again is told, and the end closes all rows", () => {
  const { rows, to } = draw([
    [0, { type: "turn_start", turn: 1 }],
    [5, { type: "fallback", from_model: "local:needle", to_model: "openai:x", reason: "unsure", message: "not sure" }],
    [7, { type: "retry", model: "openai:x", delay_seconds: 1.5, attempt: 1, reason: "rate_limited", message: "later" }],
    [9, { type: "run_error", name: "RateLimitError", message: "too many", is_retryable: true }],
  ]);

  assert.deepEqual(
    rows.map(({ kind, label, detail, to }) => [kind, label, detail, to]),
    [
      ["model", "turn 1", "", 9],
      ["note", "local:needle → openai:x", "not sure", 5],
      ["note", "openai:x: again in 1.5 s", "later", 7],
      ["error", "RateLimitError", "too many", 9],
    ],
  );
  assert.equal(to, 9);
});

test("costs are written as people read them", () => {
  assert.deepEqual([0, 0.0042, 1.2].map(dollars), ["free", "$0.0042", "$1.20"]);
});
