/**
 * `createAgent`: an agent of this page as an object. It keeps the conversation's state, is told to send, stop and
 * answer, and tells whoever listens of each event. The work is done in a worker which all agents of the page share.
 */

import type { ClientRun, DownloadProgress } from "./client.ts";
import { AgentClientError } from "./client.ts";
import type {
  AgentReport,
  BeginningWire,
  CachedModelWire,
  ConversationWire,
  DeviceWire,
  EventWire,
  LocalModelWire,
  MessageWire,
  PartWire,
  ReadyReport,
  RemoteSettingsWire,
  StorageWire,
} from "./generated/wire.ts";
import { createPageTools, type PageTool, type ToolOutput } from "./page-tools.ts";
import { createPipe, type Pipe } from "./pipe.ts";
import { breakOff, type ChatState, decide, EMPTY, goOn, reduce, restore, submit } from "./reduce.ts";
import { type AgentConnection, type AgentRuntime, sharedRuntime } from "./runtime.ts";

/** `submitted`: asked, nothing said yet. `streaming`: somebody answers. `error`: the last run failed. */
export type AgentStatus = "submitted" | "streaming" | "ready" | "error";

export interface AgentOptions {
  /** The agent's Python file. */
  readonly src: string | URL;
  /** The folder of Limpet's files; that of this script's own unless it is said otherwise. */
  readonly baseUrl?: string | URL;
  /** The remote model, as `provider:name`, and how it is reached; the key stays in the worker's memory. */
  readonly remote?: RemoteSettingsWire | null;
  /** In place of the instructions in the agent's file. */
  readonly instructions?: string;
  /** Which conversation to go on with; a new one unless it is said otherwise. */
  readonly conversationId?: string;
  /** Functions of the page which the agent may call. */
  readonly tools?: readonly PageTool[];
  /** May a local model be downloaded without `download` being called? */
  readonly allowDownload?: boolean;
  readonly threads?: number | null;
  /** The folder of the local models; `models/` of the site unless it is said otherwise. */
  readonly modelsUrl?: string | URL;
  readonly runtime?: AgentRuntime;
}

export interface AgentInfo {
  readonly name: string;
  readonly tools: readonly string[];
  readonly models: readonly LocalModelWire[];
  readonly remoteModels: readonly string[];
  /** What the phases of the start took; empty for an agent that came into a running worker. */
  readonly milliseconds: Readonly<Record<string, number>>;
}

/** The local models in this browser, whole or in part, and what is left of its room. */
export interface KeptModels {
  readonly models: readonly CachedModelWire[];
  readonly storage: StorageWire;
}

/** A message on its way: iterate over it for its events, or wait for `done`. */
export interface AgentRun extends AsyncIterable<EventWire> {
  readonly runId: string;
  /** Settles after the last event; never rejects, for a failure is an event too. */
  readonly done: Promise<void>;
}

export interface SendOptions {
  readonly signal?: AbortSignal;
}

/** A conversation as a file: what `exportConversation` gives and `importConversation` takes. */
export interface ConversationFile {
  readonly format: "limpet.conversation";
  readonly version: 1;
  readonly title: string;
  readonly messages: readonly MessageWire[];
}

/** Called after each change; `event` is what caused it, where it was an event of the run. */
export type AgentListener = (state: ChatState, event: EventWire | null) => void;

export interface ChatAgent {
  /** Rejects with an `AgentClientError` when the agent can't be started. */
  readonly ready: Promise<AgentInfo>;
  readonly status: AgentStatus;
  readonly state: ChatState;
  readonly error: Error | null;
  readonly conversationId: string;
  /** The history, as it was when the last run ended. */
  readonly messages: readonly MessageWire[];
  /** Ask something. One run at a time: throws while another goes on. */
  sendMessage(message: string | readonly PartWire[], options?: SendOptions): AgentRun;
  /** Stop the run that goes on; settles when it has ended. */
  stop(): Promise<void>;
  /** Have the last message answered once more, in place of what was said. */
  regenerate(options?: SendOptions): AgentRun;
  /** Ask something else in place of the message before which there were `place` messages. */
  edit(place: number, message: string, options?: SendOptions): AgentRun;
  /** Go on in a new conversation that begins with the first `place` messages of this one. */
  branch(place: number): Promise<string>;
  /** Answer a question (`approval`). */
  approve(toolCallId: string, approved: boolean): void;
  /** Answer a call of a tool that has no `execute`. */
  addToolOutput(output: ToolOutput): void;
  setTools(tools: readonly PageTool[]): void;
  setRemote(remote: RemoteSettingsWire | null): void;
  download(modelId: string, onProgress?: (progress: DownloadProgress) => void): Promise<LocalModelWire>;
  /** Which local models are kept in this browser, and how full it is. */
  models(): Promise<KeptModels>;
  /** Delete what is kept of a local model. */
  deleteModel(modelId: string): Promise<void>;
  /** What this device can do, measured at the first call; null where it can't be measured. */
  device(): Promise<DeviceWire | null>;
  /** Go to a conversation, a new one without an id; one whose run was broken off goes on. */
  open(conversationId?: string): Promise<void>;
  conversations(): Promise<readonly ConversationWire[]>;
  rename(conversationId: string, title: string): Promise<void>;
  exportConversation(conversationId: string): Promise<ConversationFile>;
  /** Gives the id of the new conversation. Rejects for what is no exported conversation. */
  importConversation(file: unknown): Promise<string>;
  /** Erase a conversation, or all of them. */
  erase(conversationId?: string): Promise<void>;
  /** Gives a function that ends it. */
  subscribe(listener: AgentListener): () => void;
  close(): void;
}

/** The run that goes on. `reader` is there once somebody iterates over it, `unread` what that one has not taken yet. */
interface Current {
  run: ClientRun;
  isStopped: boolean;
  reader: Pipe<EventWire> | null;
  unread: number;
  wake: () => void;
}

/** How far a reader of a run may be behind before the run waits for it. */
const MOST_UNREAD = 64;
const MOST_RESTARTS = 3;

export function createAgent(options: AgentOptions): ChatAgent {
  const baseUrl = new URL(options.baseUrl ?? "./", options.baseUrl ? pageUrl() : import.meta.url).href;
  const runtime =
    options.runtime ??
    sharedRuntime({
      baseUrl,
      threads: options.threads ?? null,
      allowDownload: options.allowDownload ?? false,
      ...(options.modelsUrl === undefined ? {} : { modelsUrl: new URL(options.modelsUrl, pageUrl()).href }),
    });
  const listeners = new Set<AgentListener>();
  let tools = createPageTools(options.tools ?? []);
  let remote = options.remote ?? null;
  let conversationId = options.conversationId ?? crypto.randomUUID();
  let state: ChatState = EMPTY;
  let messages: readonly MessageWire[] = [];
  let error: Error | null = null;
  let current: Current | null = null;
  let done: Promise<void> = Promise.resolve();
  let restarts = 0;
  let isClosed = false;
  let connection = connect();

  function connect(): AgentConnection {
    return runtime.connect({
      agentUrl: new URL(options.src, pageUrl()).href,
      remote,
      instructions: options.instructions,
      tools: tools.wires,
      answerTool: (request, signal) => tools.answer(request, signal),
    });
  }

  const ready = connection.ready.then(async (report) => {
    if (options.conversationId !== undefined && !isClosed) await open(options.conversationId);
    return info(report);
  });
  ready.catch((reason: unknown) => {
    error = reason instanceof Error ? reason : new Error(String(reason));
    show(state);
  });

  function show(next: ChatState, event: EventWire | null = null): void {
    state = next;
    for (const listener of [...listeners]) listener(next, event);
  }

  function send(text: string, parts: readonly PartWire[], beginning?: BeginningWire, options?: SendOptions): AgentRun {
    if (current) throw new Error("a run goes on already; stop it first");
    options?.signal?.throwIfAborted();
    error = null;
    const run = connection.client.run(conversationId, parts, { agentId: connection.agentId, beginning });
    const place = beginning?.message_count ?? messages.length;
    const before = beginning ? cut(state, place) : state;
    return follow(run, submit(before, run.runId, text, place), options);
  }

  function follow(run: ClientRun, shown: ChatState, { signal }: SendOptions = {}): AgentRun {
    const mine: Current = { run, isStopped: false, reader: null, unread: 0, wake: () => undefined };
    const halt = () => cancel(mine);
    signal?.addEventListener("abort", halt);
    current = mine;
    done = read(mine).finally(() => signal?.removeEventListener("abort", halt));
    hold(run.runId, done);
    show(shown);
    return { runId: run.runId, done, [Symbol.asyncIterator]: () => iterate(mine) };
  }

  async function* iterate(mine: Current): AsyncGenerator<EventWire> {
    if (current !== mine) return;
    mine.reader = createPipe<EventWire>(() => {
      mine.unread -= 1;
      mine.wake();
    });
    try {
      yield* mine.reader;
    } finally {
      mine.reader = null;
      mine.wake();
    }
  }

  function cancel(mine: Current): void {
    mine.isStopped = true;
    mine.run.cancel();
    mine.wake();
  }

  /** Take the events of a run to its end, at the speed of whoever iterates over it. */
  async function read(mine: Current): Promise<void> {
    // Whoever iterates at once gets all events, the first too.
    await Promise.resolve();
    try {
      for await (const event of mine.run) {
        const isLast = event.type === "run_end" || event.type === "run_error";
        if (event.type === "run_error") error = new AgentClientError(event);
        if (isLast) {
          // Who hears of the end may ask the next thing at once, and that stands behind these messages.
          await refresh();
          if (current === mine) current = null;
        }
        show(reduce(state, event), event);
        if (mine.reader) await hand(mine, event);
      }
      if (current === mine) current = null;
    } catch (reason) {
      const failure = reason instanceof Error ? reason : new Error(String(reason));
      if (await recover(mine)) return;
      if (current === mine) current = null;
      error = failure;
      show(breakOff(state, failure.message));
    }
    mine.reader?.end();
  }

  async function hand(mine: Current, event: EventWire): Promise<void> {
    mine.reader?.push(event);
    mine.unread += 1;
    while (mine.reader && !mine.isStopped && mine.unread >= MOST_UNREAD) {
      await new Promise<void>((resolve) => {
        mine.wake = resolve;
      });
    }
  }

  /** A worker that broke down is started anew, and the run goes on from its last event. */
  async function recover(mine: Current): Promise<boolean> {
    const { runId } = mine.run;
    if (isClosed || restarts >= MOST_RESTARTS) return false;
    restarts += 1;
    try {
      connection.close();
      connection = connect();
      await connection.ready;
      const report = await connection.client.recall(conversationId);
      if (report.open_run_id !== runId) return false;
      messages = report.messages;
      mine.run = connection.client.resume(conversationId, runId, connection.agentId);
      show(goOn(restore(report.messages), runId));
      await read(mine);
      return true;
    } catch {
      return false;
    }
  }

  async function refresh(): Promise<void> {
    try {
      messages = await connection.client.history(conversationId);
    } catch {
      // The store failed; that was told as the run's own error.
    }
  }

  async function open(id: string = crypto.randomUUID()): Promise<void> {
    await stop();
    conversationId = id;
    error = null;
    const report = await connection.client.recall(id);
    messages = report.messages;
    // A run that another tab is at work on is that one's.
    if (report.open_run_id === undefined || isClosed || !(await isLeft(report.open_run_id))) {
      show(restore(report.messages));
      return;
    }
    follow(
      connection.client.resume(id, report.open_run_id, connection.agentId),
      goOn(restore(report.messages), report.open_run_id),
    );
  }

  async function stop(): Promise<void> {
    if (current) cancel(current);
    await done;
  }

  return {
    ready,
    get status() {
      if (state.status !== "idle") return state.status;
      return error ? "error" : "ready";
    },
    get state() {
      return state;
    },
    get error() {
      return error;
    },
    get conversationId() {
      return conversationId;
    },
    get messages() {
      return messages;
    },
    sendMessage: (message, options) =>
      typeof message === "string"
        ? send(message, [{ type: "text", text: message }], undefined, options)
        : send(textOf(message), message, undefined, options),
    stop,
    regenerate(options) {
      const place = messages.findLastIndex((message) => message.role === "user");
      const message = messages[place];
      if (!message) throw new Error("nothing was asked yet");
      const beginning = { conversation_id: conversationId, message_count: place };
      return send(textOf(message.parts), message.parts, beginning, options);
    },
    edit: (place, message, options) =>
      send(
        message,
        [{ type: "text", text: message }],
        { conversation_id: conversationId, message_count: place },
        options,
      ),
    async branch(place) {
      await stop();
      const id = crypto.randomUUID();
      const title = textOf(messages[0]?.parts ?? []);
      await connection.client.importConversation(id, title, messages.slice(0, place));
      await open(id);
      return id;
    },
    approve(callId, approved) {
      current?.run.approve(callId, approved);
      show(decide(state, callId, approved));
    },
    addToolOutput({ toolCallId, output, isError = false }) {
      const call = state.entries.findLast((entry) => entry.kind === "tool" && entry.callId === toolCallId);
      if (call?.kind !== "tool" || !tools.settle(call.name, call.arguments, output, isError)) {
        throw new Error(`no call ${toolCallId} waits for an answer`);
      }
    },
    setTools(next) {
      tools = createPageTools(next);
      connection.client.setTools(tools.wires, connection.agentId);
    },
    setRemote(next) {
      remote = next;
      connection.client.configure(next, connection.agentId);
    },
    download: (modelId, onProgress) => connection.client.download(modelId, onProgress),
    async models() {
      const { models, storage } = await connection.client.models();
      return { models, storage };
    },
    deleteModel: (modelId) => connection.client.deleteModel(modelId),
    device: () => connection.client.device(),
    open,
    conversations: () => connection.client.conversations(),
    rename: (id, title) => connection.client.rename(id, title),
    async exportConversation(id) {
      const [kept, list] = await Promise.all([connection.client.history(id), connection.client.conversations()]);
      const title = list.find(({ conversation_id }) => conversation_id === id)?.title ?? "";
      return { format: "limpet.conversation", version: 1, title, messages: kept };
    },
    async importConversation(file) {
      if (!isConversationFile(file)) throw new Error("this file is no conversation exported from here");
      const id = crypto.randomUUID();
      await connection.client.importConversation(id, file.title, file.messages);
      return id;
    },
    async erase(id) {
      if (id === undefined || id === conversationId) await stop();
      await connection.client.erase(id ?? null);
      if (id === undefined || id === conversationId) await open();
    },
    subscribe(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    close() {
      isClosed = true;
      listeners.clear();
      connection.close();
    },
  };
}

const LOCK = "limpet-run:";
const LOCK_TRIES = 10;
const LOCK_PAUSE_MS = 100;

/** Say to the other tabs of this site that a run is being taken care of here. */
function hold(runId: string, done: Promise<void>): void {
  if (typeof navigator === "undefined" || !navigator.locks) return;
  void navigator.locks.request(LOCK + runId, () => done);
}

/** Whether nobody takes care of a run. The page before a reload may take a moment to let go of it. */
async function isLeft(runId: string): Promise<boolean> {
  if (typeof navigator === "undefined" || !navigator.locks) return true;
  for (let count = 0; count < LOCK_TRIES; count++) {
    const { held = [] } = await navigator.locks.query();
    if (!held.some(({ name }) => name === LOCK + runId)) return true;
    await new Promise((resolve) => setTimeout(resolve, LOCK_PAUSE_MS));
  }
  return false;
}

function info(report: ReadyReport | AgentReport): AgentInfo {
  return {
    name: report.name,
    tools: report.tools,
    models: report.models,
    remoteModels: report.remote_models,
    milliseconds: report.type === "ready" ? report.milliseconds : {},
  };
}

/** What is shown when everything from a message on is given up. */
function cut(state: ChatState, place: number): ChatState {
  const first = state.entries.findIndex((entry) => entry.kind === "user" && entry.place >= place);
  return first < 0 ? state : { ...state, entries: state.entries.slice(0, first) };
}

function textOf(parts: readonly PartWire[]): string {
  return parts.flatMap((part) => (part.type === "text" ? [part.text] : [])).join("\n");
}

function isConversationFile(file: unknown): file is ConversationFile {
  return (
    typeof file === "object" &&
    file !== null &&
    "format" in file &&
    file.format === "limpet.conversation" &&
    "version" in file &&
    file.version === 1 &&
    "title" in file &&
    typeof file.title === "string" &&
    "messages" in file &&
    Array.isArray(file.messages)
  );
}

function pageUrl(): string {
  return typeof document === "undefined" ? import.meta.url : document.baseURI;
}
