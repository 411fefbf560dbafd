/**
 * The page's side of an agent worker: commands as functions, reports as promises and streams of events.
 *
 * One client for one worker. Events of a run reach only who reads that run.
 */

import type {
  Command,
  ErrorWire,
  EventWire,
  LocalModelWire,
  MessageWire,
  PartWire,
  ReadyReport,
  RemoteSettingsWire,
  Report,
  StartCommand,
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

export interface Client {
  /** Rejects with an `AgentClientError` when the agent can't be started. */
  readonly ready: Promise<ReadyReport>;
  run(conversationId: string, parts: readonly PartWire[]): ClientRun;
  /** Fetch a local model; one call at a time for each model. Rejects with an `AgentClientError`. */
  download(modelId: string, onProgress?: (progress: DownloadProgress) => void): Promise<LocalModelWire>;
  /** Set the remote model, or take it away. The key stays in the worker's memory. */
  configure(remote: RemoteSettingsWire | null): void;
  history(conversationId: string): Promise<readonly MessageWire[]>;
  forget(conversationId: string): void;
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

/** Start the agent behind `port`. `onError` hears of commands that failed and that nobody waits for. */
export function createClient(
  port: ClientPort,
  start: Omit<StartCommand, "type">,
  onError: (error: AgentClientError) => void = () => undefined,
): Client {
  const runs = new Map<string, Pipe<EventWire>>();
  const downloads = new Map<string, Download>();
  const histories = new Map<string, Waiting<readonly MessageWire[]>[]>();
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
        for (const { resolve } of histories.get(report.conversation_id) ?? []) resolve(report.messages);
        histories.delete(report.conversation_id);
        break;
      case "error":
        fail(report.error);
        break;
      default:
        // A newer worker may say more than this page knows of.
        report satisfies never;
    }
  }

  /** An error report has no address: it settles whoever may be waiting because of it. */
  function fail(wire: ErrorWire): void {
    const error = new AgentClientError(wire);
    if (state === "starting") {
      ready.reject(error);
      end("failed", error);
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
    run(conversationId, parts) {
      const runId = crypto.randomUUID();
      const events = createPipe<EventWire>();
      runs.set(runId, events);
      if (failure) events.end(failure);
      send({ type: "run", run_id: runId, conversation_id: conversationId, parts: [...parts] });
      return {
        runId,
        cancel: () => send({ type: "cancel", run_id: runId }),
        approve: (callId, approved) => send({ type: "approve", run_id: runId, call_id: callId, approved }),
        [Symbol.asyncIterator]: () => events[Symbol.asyncIterator](),
      };
    },
    download(modelId, onProgress) {
      const { promise, resolve, reject } = defer<LocalModelWire>();
      downloads.set(modelId, { resolve, reject, onProgress });
      send({ type: "download", model_id: modelId });
      return promise;
    },
    configure: (remote) => send({ type: "configure", remote }),
    history(conversationId) {
      const { promise, resolve, reject } = defer<readonly MessageWire[]>();
      histories.set(conversationId, [...(histories.get(conversationId) ?? []), { resolve, reject }]);
      send({ type: "history", conversation_id: conversationId });
      return promise;
    },
    forget: (conversationId) => send({ type: "forget", conversation_id: conversationId }),
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
