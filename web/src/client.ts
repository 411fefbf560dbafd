/**
 * The page's side of an agent worker: commands as functions, reports as promises and streams of events.
 *
 * One client for one worker. Events of a run reach only who reads that run.
 */

import type {
  AddAgentCommand,
  AgentReport,
  BeginningWire,
  Command,
  ConversationWire,
  DeviceWire,
  ErrorWire,
  EventWire,
  HistoryReport,
  Json,
  LocalModelWire,
  MessageWire,
  ModelsReport,
  PageToolWire,
  PartWire,
  ReadyReport,
  RemoteSettingsWire,
  Report,
  StartCommand,
  ToolRequestReport,
} from "./generated/wire.ts";
import { createPipe, type Pipe } from "./pipe.ts";

/** What went wrong in the worker; `kind` is the name of the error's class there. */
export class AgentClientError extends Error {
  readonly kind: string;
  readonly isRetryable: boolean;

  constructor(error: ErrorWire) {
    super(error.message);
    this.name = "AgentClientError";
    this.kind = error.name;
    this.isRetryable = error.is_retryable;
  }
}

/** What we use of a `Worker` or a `MessagePort`. Messages are JSON text both ways. */
export interface ClientPort {
  postMessage(message: string): void;
  addEventListener(type: "message", listener: (event: MessageEvent<unknown>) => void): void;
  addEventListener(type: "error", listener: (event: Event) => void): void;
  removeEventListener(type: "message", listener: (event: MessageEvent<unknown>) => void): void;
  removeEventListener(type: "error", listener: (event: Event) => void): void;
}

/** A run that goes on: iterate over it for its events, up to and with `run_end` or `run_error`. Read it once. */
export interface ClientRun extends AsyncIterable<EventWire> {
  readonly runId: string;
  /** Stop it; its events still end with a `run_end`. Harmless after the end. */
  cancel(): void;
  /** Answer a question (an `approval` event). */
  approve(callId: string, approved: boolean): void;
}

export interface DownloadProgress {
  readonly status: string;
  readonly file: string;
  readonly loaded: number;
  readonly total: number;
}

/** What a run is asked with, beside the message itself. */
export interface RunOptions {
  readonly agentId?: string | undefined;
  /** Begin after the first messages of a conversation; what came after them is given up. */
  readonly beginning?: BeginningWire | undefined;
}

/** Answers the agent's calls of the page's functions. The signal is aborted when nobody waits any more. */
export type AnswerTool = (request: ToolRequestReport, signal: AbortSignal) => Promise<Json>;

export interface ClientOptions {
  /** Hears of commands that failed and that nobody waits for, and of a worker that broke down while it was ready. */
  readonly onError?: (error: AgentClientError) => void;
  readonly answerTool?: AnswerTool;
}

export interface Client {
  /** Rejects with an `AgentClientError` when the agent can't be started. */
  readonly ready: Promise<ReadyReport>;
  /** What ended the client, if something did. */
  readonly failure: AgentClientError | undefined;
  /** One more agent in the same worker. Rejects with an `AgentClientError`. */
  addAgent(agent: Omit<AddAgentCommand, "type">): Promise<AgentReport>;
  run(conversationId: string, parts: readonly PartWire[], options?: RunOptions): ClientRun;
  /** Go on with a run that was broken off; its id is in the history. */
  resume(conversationId: string, runId: string, agentId?: string): ClientRun;
  /** Fetch a local model; one call at a time for each model. Rejects with an `AgentClientError`. */
  download(modelId: string, onProgress?: (progress: DownloadProgress) => void): Promise<LocalModelWire>;
  /** Which local models are kept in this browser, and how full it is. */
  models(): Promise<ModelsReport>;
  /** Delete what is kept of a local model. */
  deleteModel(modelId: string): Promise<void>;
  /** What this device can do; null where it can't be measured. The first time on a device it takes a second. */
  device(): Promise<DeviceWire | null>;
  /** Set the remote model, or take it away. The key stays in the worker's memory. */
  configure(remote: RemoteSettingsWire | null, agentId?: string): void;
  /** Set the functions of the page that an agent may call. */
  setTools(tools: readonly PageToolWire[], agentId?: string): void;
  history(conversationId: string): Promise<readonly MessageWire[]>;
  /** The history, and the run that was broken off if there is one. */
  recall(conversationId: string): Promise<HistoryReport>;
  forget(conversationId: string): void;
  conversations(): Promise<readonly ConversationWire[]>;
  rename(conversationId: string, title: string): Promise<void>;
  importConversation(conversationId: string, title: string, messages: readonly MessageWire[]): Promise<void>;
  /** Erase a conversation, or with null all of them. */
  erase(conversationId: string | null): Promise<void>;
  /** Let go of the worker's messages; runs that go on end for their readers. Harmless when called twice. */
  close(): void;
}

interface Waiting<T> {
  readonly resolve: (value: T) => void;
  readonly reject: (error: unknown) => void;
}

interface Download extends Waiting<LocalModelWire> {
  readonly onProgress: ((progress: DownloadProgress) => void) | undefined;
}

/** `Promise.withResolvers`, which browsers of 2023 lack. */
function defer<T>(): Waiting<T> & { promise: Promise<T> } {
  let waiting: Waiting<T> | undefined;
  const promise = new Promise<T>((resolve, reject) => {
    waiting = { resolve, reject };
  });
  return { promise, ...(waiting as unknown as Waiting<T>) };
}

/** So many events may be on their way; the reader of a run grants more as it reads. */
const WINDOW = 512;

/** Start the agent behind `port`. */
export function createClient(
  port: ClientPort,
  start: Omit<StartCommand, "type">,
  { onError = () => undefined, answerTool = refuseTool }: ClientOptions = {},
): Client {
  const runs = new Map<string, Pipe<EventWire>>();
  const downloads = new Map<string, Download>();
  const histories = new Map<string, Waiting<HistoryReport>[]>();
  const agents = new Map<string, Waiting<AgentReport>>();
  const requests = new Map<string, Waiting<Report>>();
  const calls = new Map<string, AbortController>();
  const ready = defer<ReadyReport>();
  let state: "starting" | "ready" | "failed" | "closed" = "starting";
  let failure: AgentClientError | undefined;
  ready.promise.catch(() => undefined);

  const send = (command: Command) => {
    if (state === "starting" || state === "ready") port.postMessage(JSON.stringify(command));
  };

  const onMessage = (message: MessageEvent<unknown>) => {
    if (typeof message.data === "string") take(JSON.parse(message.data) as Report);
  };
  const onCrash = (event: Event) => {
    if (state === "failed" || state === "closed") return;
    const detail = "message" in event && typeof event.message === "string" ? event.message : "";
    const message = `the agent's worker broke down; reload the page ${detail && `(${detail})`}`.trim();
    const error = new AgentClientError({ name: "WorkerError", message, is_retryable: true });
    if (state === "ready") onError(error);
    end("failed", error);
  };

  function take(report: Report): void {
    switch (report.type) {
      case "ready":
        state = "ready";
        ready.resolve(report);
        break;
      case "events":
        for (const event of report.events) {
          const run = runs.get(report.run_id);
          run?.push(event);
          if (event.type === "run_end" || event.type === "run_error") {
            run?.end();
            runs.delete(report.run_id);
          }
        }
        break;
      case "download_progress":
        downloads.get(report.model_id)?.onProgress?.(report);
        break;
      case "model": {
        const download = downloads.get(report.model.model_id);
        downloads.delete(report.model.model_id);
        if (report.error) download?.reject(new AgentClientError(report.error));
        else download?.resolve(report.model);
        break;
      }
      case "history":
        for (const { resolve } of histories.get(report.conversation_id) ?? []) resolve(report);
        histories.delete(report.conversation_id);
        break;
      case "agent": {
        const waiting = agents.get(report.agent_id);
        agents.delete(report.agent_id);
        if (report.error) waiting?.reject(new AgentClientError(report.error));
        else waiting?.resolve(report);
        break;
      }
      case "conversations":
      case "models":
      case "device":
      case "done": {
        const waiting = requests.get(report.request_id);
        requests.delete(report.request_id);
        if (report.type === "done" && report.error) waiting?.reject(new AgentClientError(report.error));
        else waiting?.resolve(report);
        break;
      }
      case "tool_request":
        void answer(report);
        break;
      case "tool_cancel":
        calls.get(report.request_id)?.abort();
        break;
      case "error":
        fail(report.error);
        break;
      default:
        // A newer worker may say more than this page knows of.
        report satisfies never;
    }
  }

  async function answer(request: ToolRequestReport): Promise<void> {
    const { request_id } = request;
    const stop = new AbortController();
    calls.set(request_id, stop);
    try {
      const content = await answerTool(request, stop.signal);
      send({ type: "tool_output", request_id, content: content ?? null, is_error: false });
    } catch (error) {
      const content = error instanceof Error ? error.message : String(error);
      send({ type: "tool_output", request_id, content, is_error: true });
    } finally {
      calls.delete(request_id);
    }
  }

  /** Send a command that has a number, and give its answer, which is of the type `wanted`. */
  async function request<T extends Report["type"]>(
    wanted: T,
    command: (requestId: string) => Command,
  ): Promise<Extract<Report, { type: T }>> {
    const requestId = crypto.randomUUID();
    const { promise, resolve, reject } = defer<Report>();
    if (failure) reject(failure);
    else requests.set(requestId, { resolve, reject });
    send(command(requestId));
    const report = await promise;
    if (!isOfType(report, wanted)) throw new Error(`the worker answered with ${report.type} instead of ${wanted}`);
    return report;
  }

  function begin(runId: string, command: Command): ClientRun {
    let unread = 0;
    const events = createPipe<EventWire>(() => {
      unread += 1;
      if (unread < WINDOW / 2) return;
      send({ type: "credit", run_id: runId, count: unread });
      unread = 0;
    });
    runs.set(runId, events);
    if (failure) events.end(failure);
    send(command);
    return {
      runId,
      cancel: () => send({ type: "cancel", run_id: runId }),
      approve: (callId, approved) => send({ type: "approve", run_id: runId, call_id: callId, approved }),
      [Symbol.asyncIterator]: () => events[Symbol.asyncIterator](),
    };
  }

  function recall(conversationId: string): Promise<HistoryReport> {
    const { promise, resolve, reject } = defer<HistoryReport>();
    if (failure) reject(failure);
    else histories.set(conversationId, [...(histories.get(conversationId) ?? []), { resolve, reject }]);
    send({ type: "history", conversation_id: conversationId });
    return promise;
  }

  /** An error report has no address: it settles whoever may be waiting because of it. */
  function fail(wire: ErrorWire): void {
    const error = new AgentClientError(wire);
    if (state === "starting") {
      ready.reject(error);
      // Other agents of this worker may well be fine.
      if (agents.size === 0) end("failed", error);
    } else {
      onError(error);
      rejectHistories(error);
    }
  }

  function end(how: "failed" | "closed", error: AgentClientError): void {
    state = how;
    failure = error;
    ready.reject(error);
    rejectHistories(error);
    for (const { reject } of downloads.values()) reject(error);
    downloads.clear();
    for (const run of runs.values()) run.end(error);
    runs.clear();
    for (const { reject } of [...agents.values(), ...requests.values()]) reject(error);
    agents.clear();
    requests.clear();
    for (const stop of calls.values()) stop.abort();
    calls.clear();
  }

  function rejectHistories(error: AgentClientError): void {
    for (const { reject } of [...histories.values()].flat()) reject(error);
    histories.clear();
  }

  port.addEventListener("message", onMessage);
  port.addEventListener("error", onCrash);
  send({ type: "start", ...start });

  return {
    ready: ready.promise,
    get failure() {
      return failure;
    },
    addAgent(agent) {
      const { promise, resolve, reject } = defer<AgentReport>();
      if (failure) reject(failure);
      else agents.set(agent.agent_id, { resolve, reject });
      send({ type: "add_agent", ...agent });
      return promise;
    },
    run(conversationId, parts, { agentId, beginning } = {}) {
      const runId = crypto.randomUUID();
      return begin(runId, {
        type: "run",
        run_id: runId,
        conversation_id: conversationId,
        parts: [...parts],
        credits: WINDOW,
        ...(agentId === undefined ? {} : { agent_id: agentId }),
        ...(beginning === undefined ? {} : { beginning }),
      });
    },
    resume: (conversationId, runId, agentId) =>
      begin(runId, {
        type: "resume",
        run_id: runId,
        conversation_id: conversationId,
        credits: WINDOW,
        ...(agentId === undefined ? {} : { agent_id: agentId }),
      }),
    download(modelId, onProgress) {
      const { promise, resolve, reject } = defer<LocalModelWire>();
      if (failure) reject(failure);
      else downloads.set(modelId, { resolve, reject, onProgress });
      send({ type: "download", model_id: modelId });
      return promise;
    },
    configure: (remote, agentId) =>
      send({ type: "configure", remote, ...(agentId === undefined ? {} : { agent_id: agentId }) }),
    setTools: (tools, agentId = "") => send({ type: "tools", agent_id: agentId, tools: [...tools] }),
    recall,
    history: async (conversationId) => (await recall(conversationId)).messages,
    forget: (conversationId) => send({ type: "forget", conversation_id: conversationId }),
    async conversations() {
      const report = await request("conversations", (request_id) => ({ type: "conversations", request_id }));
      return report.conversations;
    },
    models: () => request("models", (request_id) => ({ type: "models", request_id })),
    async device() {
      return (await request("device", (request_id) => ({ type: "device", request_id }))).device;
    },
    async deleteModel(model_id) {
      await request("done", (request_id) => ({ type: "delete_model", request_id, model_id }));
    },
    async rename(conversation_id, title) {
      await request("done", (request_id) => ({ type: "rename", request_id, conversation_id, title }));
    },
    async importConversation(conversation_id, title, messages) {
      await request("done", (request_id) => ({
        type: "import",
        request_id,
        conversation_id,
        title,
        messages: [...messages],
      }));
    },
    async erase(conversation_id) {
      await request("done", (request_id) => ({ type: "erase", request_id, conversation_id }));
    },
    close() {
      if (state === "closed") return;
      port.removeEventListener("message", onMessage);
      port.removeEventListener("error", onCrash);
      const error = new AgentClientError({
        name: "ClosedError",
        message: "the client was closed",
        is_retryable: false,
      });
      end("closed", error);
    },
  };
}

function isOfType<T extends Report["type"]>(report: Report, type: T): report is Extract<Report, { type: T }> {
  return report.type === type;
}

async function refuseTool(): Promise<never> {
  throw new Error("this page has no such function");
}
