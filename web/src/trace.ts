/** What a run did and when, as rows of a timeline; `addToTrace` is pure. Times are milliseconds of the page's clock. */

import type { EventWire } from "./generated/wire.ts";

export interface TraceRow {
  readonly key: string;
  readonly kind: "model" | "tool" | "load" | "approval" | "note" | "error";
  readonly label: string;
  readonly detail: string;
  readonly from: number;
  /** Null while it goes on. */
  readonly to: number | null;
}

export interface Trace {
  readonly runId: string;
  readonly from: number;
  readonly to: number | null;
  readonly rows: readonly TraceRow[];
  readonly inputTokens: number;
  readonly outputTokens: number;
  readonly cachedTokens: number;
  /** US dollars, by list prices; null while no model with a price has answered. */
  readonly cost: number | null;
}

export function startTrace(runId: string, now: number): Trace {
  return { runId, from: now, to: null, rows: [], inputTokens: 0, outputTokens: 0, cachedTokens: 0, cost: null };
}

export function addToTrace(trace: Trace, event: EventWire, now: number): Trace {
  switch (event.type) {
    case "turn_start":
      return open(trace, `turn ${event.turn}`, "model", `turn ${event.turn}`, now);
    case "model_start":
      return changeLast(trace, "model", (row) => ({
        ...row,
        label: event.model,
        detail: `first word after ${ms(now - row.from)}`,
      }));
    case "turn_end": {
      const { usage } = event;
      const ended = changeLast(trace, "model", (row) => ({
        ...row,
        to: row.to ?? now,
        detail: [
          row.detail,
          `${usage.input_tokens} tokens in, ${usage.output_tokens} out`,
          event.cost === undefined ? "" : dollars(event.cost),
        ]
          .filter((text) => text !== "")
          .join(", "),
      }));
      return {
        ...ended,
        inputTokens: trace.inputTokens + usage.input_tokens,
        outputTokens: trace.outputTokens + usage.output_tokens,
        cachedTokens: trace.cachedTokens + usage.cached_tokens,
        cost: event.cost === undefined ? trace.cost : (trace.cost ?? 0) + event.cost,
      };
    }
    case "tool_call_end": {
      const said = changeLast(trace, "model", (row) => ({ ...row, to: row.to ?? now }));
      return open(said, `call ${event.call_id}`, "tool", event.name, now);
    }
    case "approval":
      return open(trace, `approval ${event.call_id}`, "approval", `${event.name}: your approval`, now);
    case "tool_progress":
      return close(trace, `approval ${event.call_id}`, now, "");
    case "tool_result": {
      const answered = close(trace, `approval ${event.call_id}`, now, "");
      return close(answered, `call ${event.call_id}`, now, event.is_error ? "failed" : "");
    }
    case "progress":
      if (event.status === "ready") return close(trace, `load ${event.model}`, now, "");
      return trace.rows.some((row) => row.key === `load ${event.model}` && row.to === null)
        ? trace
        : open(trace, `load ${event.model}`, "load", `loading ${event.model}`, now);
    case "retry":
      return point(
        trace,
        event.id,
        "note",
        `${event.model}: again in ${ms(event.delay_seconds * 1000)}`,
        event.message,
        now,
      );
    case "fallback":
      return point(trace, event.id, "note", `${event.from_model} → ${event.to_model}`, event.message, now);
    case "turn_reset":
      return point(trace, event.id, "note", "taken back", event.message, now);
    case "hook_action":
      return point(trace, event.id, "note", `${event.hook}: ${event.action}`, event.reason, now);
    case "run_error":
      return end(point(trace, event.id, "error", event.name, event.message, now), now);
    case "run_end":
      return end(trace, now);
    default:
      return trace;
  }
}

/** "1.2 s", "35 ms" */
export function ms(milliseconds: number): string {
  return milliseconds < 1000 ? `${Math.round(milliseconds)} ms` : `${(milliseconds / 1000).toFixed(1)} s`;
}

/** "$0.0042", "$1.20", "free" */
export function dollars(cost: number): string {
  return cost === 0 ? "free" : `$${cost.toFixed(cost < 0.1 ? 4 : 2)}`;
}

function open(trace: Trace, key: string, kind: TraceRow["kind"], label: string, now: number): Trace {
  return { ...trace, rows: [...trace.rows, { key, kind, label, detail: "", from: now, to: null }] };
}

function point(trace: Trace, id: number, kind: "note" | "error", label: string, detail: string, now: number): Trace {
  return { ...trace, rows: [...trace.rows, { key: `event ${id}`, kind, label, detail, from: now, to: now }] };
}

function close(trace: Trace, key: string, now: number, detail: string): Trace {
  const place = trace.rows.findLastIndex((row) => row.key === key && row.to === null);
  const row = trace.rows[place];
  return row ? { ...trace, rows: trace.rows.with(place, { ...row, to: now, detail }) } : trace;
}

function changeLast(trace: Trace, kind: TraceRow["kind"], change: (row: TraceRow) => TraceRow): Trace {
  const place = trace.rows.findLastIndex((row) => row.kind === kind);
  const row = trace.rows[place];
  return row ? { ...trace, rows: trace.rows.with(place, change(row)) } : trace;
}

function end(trace: Trace, now: number): Trace {
  return { ...trace, to: now, rows: trace.rows.map((row) => ({ ...row, to: row.to ?? now })) };
}
