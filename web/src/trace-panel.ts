/** Draws the trace of the last run: one bar for each thing that was done, in its place on the time line. */

import { make } from "./elements.ts";
import type { EventWire } from "./generated/wire.ts";
import { addToTrace, dollars, ms, startTrace, type Trace, type TraceRow } from "./trace.ts";

export interface TracePanel {
  add(event: EventWire): void;
  toggle(): boolean;
}

export function createTracePanel(panel: HTMLElement, now: () => number = () => performance.now()): TracePanel {
  let trace: Trace | null = null;
  let isScheduled = false;

  function draw(): void {
    isScheduled = false;
    if (panel.hidden) return;
    if (!trace) {
      panel.replaceChildren(make("p", "hint", "Ask something: what the run does is drawn here."));
      return;
    }
    const until = trace.to ?? now();
    const length = Math.max(1, until - trace.from);
    const list = make("ol", "trace-rows", ...trace.rows.map((row) => drawRow(row, trace?.from ?? 0, until, length)));
    const tokens = `${trace.inputTokens} tokens in (${trace.cachedTokens} of them cached), ${trace.outputTokens} out`;
    const facts = [
      ms(until - trace.from),
      tokens,
      ...(trace.cost === null ? [] : [`${dollars(trace.cost)} by list prices`]),
    ];
    panel.replaceChildren(make("p", "hint", facts.join(", ")), list);
  }

  return {
    add(event) {
      if (trace?.runId !== event.run_id) trace = startTrace(event.run_id, now());
      trace = addToTrace(trace, event, now());
      if (isScheduled || panel.hidden) return;
      isScheduled = true;
      requestAnimationFrame(draw);
    },
    toggle() {
      panel.hidden = !panel.hidden;
      draw();
      return !panel.hidden;
    },
  };
}

function drawRow(row: TraceRow, from: number, until: number, length: number): HTMLElement {
  const end = row.to ?? until;
  const bar = make("span", `trace-bar ${row.kind}`);
  bar.style.insetInlineStart = `${(100 * (row.from - from)) / length}%`;
  bar.style.inlineSize = `${(100 * (end - row.from)) / length}%`;
  const lane = make("span", "trace-lane", bar);
  lane.ariaHidden = "true";
  const took = row.kind === "note" || row.kind === "error" ? "" : ms(end - row.from);
  const facts = [took, row.detail].filter((text) => text !== "").join(", ");
  return make("li", "trace-row", make("span", "trace-label", row.label), lane, make("span", "trace-facts", facts));
}
