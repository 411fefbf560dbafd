/** What the page shows, as a value; `reduce` is pure and knows each event of a run. */

import type { EventWire, Json, LoadStatus, MessageWire, PartWire } from "./generated/wire.ts";

/** `idle`: ask something; `submitted`: nothing has been said yet; `streaming`: somebody answers. */
export type ChatStatus = "idle" | "submitted" | "streaming";

/** How far a call is. `writing`: the model still writes it. `stopped`: the run ended before its result. */
export type ToolStatus = "writing" | "waiting" | "running" | "done" | "failed" | "stopped";

interface EntryBase {
  /** Unique in the conversation. */
  readonly key: string;
  readonly turn: number;
}

export interface UserEntry extends EntryBase {
  readonly kind: "user";
  readonly text: string;
  /** How many messages were before it; -1 where that is not known. An edit begins there. */
  readonly place: number;
}

export interface TextEntry extends EntryBase {
  readonly kind: "text" | "reasoning";
  readonly text: string;
  readonly isOpen: boolean;
  /** Who said it, and how sure it was (0..1), where that is known. */
  readonly model: string;
  readonly confidence: number | null;
}

export interface ToolEntry extends EntryBase {
  readonly kind: "tool";
  readonly callId: string;
  readonly name: string;
  readonly arguments: string;
  readonly status: ToolStatus;
  readonly progress: Json | null;
  readonly result: Json | null;
  readonly model: string;
  readonly confidence: number | null;
}

/** Something that was done on the way: a fallback, a retry, how the run ended. */
export interface NoticeEntry extends EntryBase {
  readonly kind: "notice" | "error";
  readonly text: string;
}

export type Entry = UserEntry | TextEntry | ToolEntry | NoticeEntry;

/** A local model being made ready in the middle of a run; `loaded` and `total` are bytes, or tokens read. */
export interface LoadState {
  readonly model: string;
  readonly status: LoadStatus;
  readonly file: string;
  readonly loaded: number;
  readonly total: number;
}

export interface ChatState {
  readonly status: ChatStatus;
  readonly runId: string | null;
  readonly entries: readonly Entry[];
  readonly load: LoadState | null;
  readonly turn: number;
  readonly model: string;
  readonly confidence: number | null;
}

export const EMPTY: ChatState = {
  status: "idle",
  runId: null,
  entries: [],
  load: null,
  turn: 0,
  model: "",
  confidence: null,
};

/** Add what the user asks; the run that answers it begins. `place` is how many messages were before it. */
export function submit(state: ChatState, runId: string, text: string, place = -1): ChatState {
  const entry: UserEntry = { kind: "user", key: `${runId}/user`, turn: 0, text, place };
  return { ...EMPTY, status: "submitted", runId, entries: [...state.entries, entry] };
}

/** A run that was broken off goes on: nothing is asked anew. */
export function goOn(state: ChatState, runId: string): ChatState {
  return { ...EMPTY, status: "submitted", runId, entries: state.entries };
}

/** End a run whose last event will never come. */
export function breakOff(state: ChatState, message: string): ChatState {
  return finish(state, message === "" ? null : { kind: "error", text: message });
}

/** Show a conversation as it was kept. */
export function restore(messages: readonly MessageWire[]): ChatState {
  const entries: Entry[] = [];
  messages.forEach((message, index) => {
    message.parts.forEach((part, place) => {
      const key = `kept/${index}/${place}`;
      if (part.type === "tool_result") answerKept(entries, part);
      else entries.push(...keptEntry(message, part, key, index));
    });
  });
  return { ...EMPTY, entries };
}

function keptEntry(message: MessageWire, part: PartWire, key: string, place: number): Entry[] {
  const said = { key, turn: 0, model: message.model ?? "", confidence: null };
  switch (part.type) {
    case "text":
      if (message.role === "user") return [{ kind: "user", key, turn: 0, text: part.text, place }];
      return message.role === "assistant" ? [{ kind: "text", text: part.text, isOpen: false, ...said }] : [];
    case "reasoning":
      return [{ kind: "reasoning", text: part.text, isOpen: false, ...said }];
    case "tool_call": {
      const { id: callId, name, arguments: text } = part;
      return [
        { kind: "tool", callId, name, arguments: text, status: "stopped", progress: null, result: null, ...said },
      ];
    }
    default:
      return [];
  }
}

function answerKept(entries: Entry[], part: PartWire & { type: "tool_result" }): void {
  const place = entries.findLastIndex((entry) => entry.kind === "tool" && entry.callId === part.id);
  const entry = entries[place];
  if (entry?.kind !== "tool") return;
  entries[place] = { ...entry, status: part.is_error ? "failed" : "done", result: part.content };
}

/** Take one event of the current run; events of other runs change nothing. */
export function reduce(state: ChatState, event: EventWire): ChatState {
  if (event.run_id !== state.runId) return state;
  switch (event.type) {
    case "run_start":
      return state;
    case "turn_start":
      return { ...state, turn: event.turn, model: "", confidence: null };
    case "progress": {
      const { model, status, file, loaded, total } = event;
      return { ...state, load: status === "ready" ? null : { model, status, file, loaded, total } };
    }
    case "retry":
      return note(state, event.id, `${event.message}; trying again in ${seconds(event.delay_seconds)}`);
    case "fallback":
      return note({ ...state, load: null }, event.id, fallbackText(event.message, event.to_model));
    case "model_start":
      return { ...state, status: "streaming", load: null, model: event.model, confidence: event.confidence };
    case "text_start":
      return open(state, "text", event.part_id);
    case "reasoning_start":
      return open(state, "reasoning", event.part_id);
    case "text_delta":
    case "reasoning_delta":
      return change(state, partKey(state, event.part_id), (entry) =>
        entry.kind === "text" || entry.kind === "reasoning" ? { ...entry, text: entry.text + event.text } : entry,
      );
    case "text_end":
    case "reasoning_end":
      return change(state, partKey(state, event.part_id), (entry) => ({ ...entry, isOpen: false }) as Entry);
    case "tool_call_start":
      return add(state, {
        kind: "tool",
        key: callKey(state, event.call_id),
        turn: state.turn,
        callId: event.call_id,
        name: event.name,
        arguments: "",
        status: "writing",
        progress: null,
        result: null,
        model: state.model,
        confidence: state.confidence,
      });
    case "tool_call_delta":
      return changeCall(state, event.call_id, (call) => ({ ...call, arguments: call.arguments + event.arguments }));
    case "tool_call_end":
      return changeCall(state, event.call_id, (call) => ({
        ...call,
        name: event.name,
        arguments: event.arguments,
        status: "running",
      }));
    case "approval":
      return changeCall(state, event.call_id, (call) => ({ ...call, status: "waiting" }));
    case "tool_progress":
      return changeCall(state, event.call_id, (call) => ({ ...call, status: "running", progress: event.content }));
    case "tool_result":
      return changeCall(state, event.call_id, (call) => ({
        ...call,
        status: event.is_error ? "failed" : "done",
        result: event.content,
      }));
    case "turn_reset":
      // A run that goes on after a reload begins with this: its turn is not known yet.
      return {
        ...state,
        turn: event.turn,
        entries: state.entries.filter((entry) => !isOfTurn(state, entry, event.turn)),
      };
    case "output_update":
    case "turn_end":
      return state;
    case "hook_action":
      return event.reason === "" ? state : note(state, event.id, `${event.hook}: ${event.reason}`);
    case "run_end":
      return finish(state, endNotice(event.finish_reason));
    case "run_error":
      return finish(state, { kind: "error", text: event.message });
    default:
      // A newer worker may report more; a new event that this page should draw fails here in the type check.
      event satisfies never;
      return state;
  }
}

/** Take an answer to a question (an `approval`) at once, before the worker has heard of it. */
export function decide(state: ChatState, callId: string, approved: boolean): ChatState {
  return changeCall(state, callId, (call) => ({ ...call, status: approved ? "running" : "stopped" }));
}

/** "the local model was not sure (0.12); asked openai:gpt-5-mini instead" */
function fallbackText(message: string, toModel: string): string {
  return `${message.replace(/[.;]$/, "")}; asked ${toModel} instead`;
}

function endNotice(reason: string): { kind: "notice"; text: string } | null {
  switch (reason) {
    case "cancelled":
      return { kind: "notice", text: "Stopped." };
    case "length":
      return { kind: "notice", text: "The answer was cut off at the limit of its length." };
    case "stopped":
      return { kind: "notice", text: "The run was ended by a hook of the agent." };
    case "content_filter":
      return { kind: "notice", text: "The provider's policy cut the answer off." };
    default:
      return null;
  }
}

function finish(state: ChatState, last: { kind: "notice" | "error"; text: string } | null): ChatState {
  const entries = state.entries.map((entry): Entry => {
    if (!belongs(state, entry)) return entry;
    if ((entry.kind === "text" || entry.kind === "reasoning") && entry.isOpen) return { ...entry, isOpen: false };
    if (entry.kind === "tool" && ["writing", "waiting", "running"].includes(entry.status)) {
      return { ...entry, status: "stopped" };
    }
    return entry;
  });
  if (last) entries.push({ key: `${state.runId}/end`, turn: state.turn, ...last });
  return { ...state, status: "idle", runId: null, load: null, entries };
}

function open(state: ChatState, kind: "text" | "reasoning", partId: string): ChatState {
  const { turn, model, confidence } = state;
  return add(state, { kind, key: partKey(state, partId), turn, text: "", isOpen: true, model, confidence });
}

function note(state: ChatState, id: number, text: string): ChatState {
  return add(state, { kind: "notice", key: `${state.runId}/notice/${id}`, turn: state.turn, text });
}

function add(state: ChatState, entry: Entry): ChatState {
  return { ...state, entries: [...state.entries, entry] };
}

function change(state: ChatState, key: string, update: (entry: Entry) => Entry): ChatState {
  const place = state.entries.findLastIndex((entry) => entry.key === key);
  const entry = state.entries[place];
  return entry ? { ...state, entries: state.entries.with(place, update(entry)) } : state;
}

function changeCall(state: ChatState, callId: string, update: (call: ToolEntry) => ToolEntry): ChatState {
  const isCall = (entry: Entry) => entry.kind === "tool" && entry.callId === callId;
  // A call of before a reload has another key; ids may come again in a later run, so the last one is meant.
  const key = state.entries.findLast(isCall)?.key ?? "";
  return change(state, key, (entry) => (entry.kind === "tool" ? update(entry) : entry));
}

function partKey(state: ChatState, partId: string): string {
  return `${state.runId}/${state.turn}/${partId}`;
}

function callKey(state: ChatState, callId: string): string {
  return `${state.runId}/call/${callId}`;
}

function belongs(state: ChatState, entry: Entry): boolean {
  return state.runId !== null && entry.key.startsWith(`${state.runId}/`);
}

function isOfTurn(state: ChatState, entry: Entry, turn: number): boolean {
  return belongs(state, entry) && entry.turn === turn && entry.kind !== "notice" && entry.kind !== "user";
}

function seconds(count: number): string {
  return `${count < 10 ? count.toFixed(1) : Math.round(count)} s`;
}
