/**
 * The bridge over a `MessagePort` or a `Worker`: calls one way, answers, progress and errors the other, all as data.
 *
 * Only typed arrays cross, and those that answer are transferred. An aborted call rejects here at once, also while the
 * other side is in the middle of a run; what it computes then is dropped.
 */

import type { Availability, LoadOptions, OnnxBridge, Progress } from "./bridge.ts";
import type { DeviceProfile } from "./device-profile.ts";
import { BridgeError, type BridgeErrorData, errorFromData, errorToData } from "./errors.ts";
import type { ModelManifest } from "./manifest.ts";
import type { CachedModel } from "./model-cache.ts";
import type { Forward, OnnxSession } from "./session.ts";
import type { StorageState } from "./store.ts";

/** What `MessagePort`, `Worker` and a worker's own scope have in common. */
export interface BridgePort {
  postMessage(message: unknown, transfer: Transferable[]): void;
  addEventListener(type: string, listener: (event: MessageEvent) => void): void;
  removeEventListener(type: string, listener: (event: MessageEvent) => void): void;
  /** A `MessagePort` waits for this. */
  start?(): void;
}

/** Events by which a `Worker` or a port tells that no answer will come. */
const FAILURES = {
  error: "the inference worker failed",
  messageerror: "a message of the inference worker can't be read",
  close: "the inference worker is gone",
} as const;

const CHANNEL = "onnxruntime-web-bridge";

interface Addressed {
  /** Other messages on the same port are none of ours. */
  readonly channel: typeof CHANNEL;
  readonly id: number;
}

type Call =
  | { readonly method: "availability" | "describe" | "download" | "remove"; readonly url: string }
  | { readonly method: "list" | "storage" | "device" }
  | { readonly method: "load"; readonly url: string; readonly allowDownload: boolean; readonly threads?: number }
  | { readonly method: "read" | "restore"; readonly session: number; readonly name: string }
  | { readonly method: "snapshot"; readonly session: number; readonly name: string; readonly isTemporary: boolean }
  | { readonly method: "reset" | "close_session"; readonly session: number }
  | { readonly method: "rewind"; readonly session: number; readonly tokens: number }
  | { readonly method: "embed"; readonly session: number; readonly ids: Int32Array; readonly lengths: Int32Array }
  | {
      readonly method: "forward";
      readonly session: number;
      readonly ids: Int32Array;
      readonly k: number;
      readonly allowed: Int32Array | null;
    }
  | { readonly method: "close" }
  | { readonly method: "abort" };

type Answer =
  | { readonly type: "progress"; readonly progress: Progress }
  | { readonly type: "value"; readonly value: unknown; readonly length: number }
  | { readonly type: "error"; readonly error: BridgeErrorData; readonly length: number };

interface Loaded {
  readonly session: number;
  readonly manifest: ModelManifest;
}

/** Answer calls that come over `port`. `close` of what is returned stops listening; the bridge stays as it is. */
export function serveOnnxBridge(bridge: OnnxBridge, port: BridgePort): { close(): void } {
  const sessions = new Map<number, OnnxSession>();
  const controllers = new Map<number, AbortController>();

  function sessionOf(number: number): OnnxSession {
    const session = sessions.get(number);
    if (!session) throw new BridgeError("closed", "the session is closed");
    return session;
  }

  function register(session: OnnxSession): number {
    for (const [number, known] of sessions) if (known === session) return number;
    const number = Math.max(0, ...sessions.keys()) + 1;
    sessions.set(number, session);
    return number;
  }

  async function perform(call: Call, signal: AbortSignal, onProgress: (progress: Progress) => void): Promise<unknown> {
    switch (call.method) {
      case "availability":
        return bridge.availability(call.url);
      case "describe":
        return bridge.describe(call.url);
      case "download":
        return bridge.download(call.url, { onProgress, signal });
      case "remove":
        return bridge.remove(call.url);
      case "list":
        return bridge.list();
      case "storage":
        return bridge.storage();
      case "device":
        return bridge.device();
      case "load": {
        const { allowDownload, threads } = call;
        const session = await bridge.load(call.url, { allowDownload, threads, onProgress, signal });
        return { session: register(session), manifest: session.manifest } satisfies Loaded;
      }
      case "read":
        return sessionOf(call.session).read(call.name);
      case "snapshot":
        return sessionOf(call.session).snapshot(call.name, call.isTemporary);
      case "restore":
        return sessionOf(call.session).restore(call.name);
      case "reset":
        return sessionOf(call.session).reset();
      case "rewind":
        return sessionOf(call.session).rewind(call.tokens);
      case "embed":
        return sessionOf(call.session).embed(call.ids, call.lengths, signal);
      case "forward":
        return sessionOf(call.session).forward(call.ids, call.k, call.allowed, signal);
      case "close_session": {
        const session = sessions.get(call.session);
        sessions.delete(call.session);
        return session?.close();
      }
      case "close":
        sessions.clear();
        return bridge.close();
      case "abort":
        return undefined;
      default:
        return call satisfies never;
    }
  }

  async function answer(call: Call & Addressed): Promise<void> {
    const { id } = call;
    const controller = new AbortController();
    controllers.set(id, controller);
    const length = () => ("session" in call ? (sessions.get(call.session)?.length ?? 0) : 0);
    const send = (reply: Answer) => port.postMessage({ channel: CHANNEL, id, ...reply }, transferables(reply));
    try {
      const onProgress = (progress: Progress) => send({ type: "progress", progress });
      const value = await perform(call, controller.signal, onProgress);
      send({ type: "value", value, length: length() });
    } catch (error) {
      send({ type: "error", error: errorToData(error), length: length() });
    } finally {
      controllers.delete(id);
    }
  }

  const listen = ({ data }: MessageEvent) => {
    if (!isAddressed<Call>(data, "method")) return;
    if (data.method === "abort") controllers.get(data.id)?.abort();
    else void answer(data);
  };
  port.addEventListener("message", listen);
  port.start?.();
  return { close: () => port.removeEventListener("message", listen) };
}

interface Pending {
  readonly settle: (answer: Answer) => void;
  readonly fail: (error: BridgeError) => void;
}

/** Give the bridge that another thread serves. When that thread dies, open calls reject with `closed`. */
export function connectOnnxBridge(port: BridgePort): OnnxBridge {
  const pending = new Map<number, Pending>();
  const sessions = new Map<number, OnnxSession>();
  let lastId = 0;
  let isOpen = true;

  function failAll(message: string): void {
    isOpen = false;
    for (const { fail } of pending.values()) fail(new BridgeError("closed", message));
    pending.clear();
  }

  const listen = ({ data }: MessageEvent) => {
    if (isAddressed<Answer>(data, "type")) pending.get(data.id)?.settle(data);
  };
  port.addEventListener("message", listen);
  const failed = ({ type }: Event) => failAll(FAILURES[type as keyof typeof FAILURES]);
  for (const type of Object.keys(FAILURES)) port.addEventListener(type, failed);
  port.start?.();

  function send(call: Call, options: SendOptions = {}): Promise<unknown> {
    const { signal, onProgress, onLength } = options;
    if (!isOpen) return Promise.reject(new BridgeError("closed", "the bridge is closed"));
    if (signal?.aborted) return Promise.reject(new BridgeError("aborted", "stopped by the caller"));
    const id = ++lastId;
    return new Promise((resolve, reject) => {
      const done = () => {
        pending.delete(id);
        signal?.removeEventListener("abort", abort);
      };
      const fail = (error: BridgeError) => {
        done();
        reject(error);
      };
      const abort = () => {
        port.postMessage({ channel: CHANNEL, id, method: "abort" }, []);
        fail(new BridgeError("aborted", "stopped by the caller"));
      };
      const settle = (answer: Answer) => {
        if (answer.type === "progress") {
          onProgress?.(answer.progress);
          return;
        }
        onLength?.(answer.length);
        if (answer.type === "error") return fail(errorFromData(answer.error));
        done();
        resolve(answer.value);
      };
      pending.set(id, { settle, fail });
      signal?.addEventListener("abort", abort, { once: true });
      // The caller keeps its arrays: they are small, and it may use them again.
      port.postMessage({ channel: CHANNEL, id, ...call }, []);
    });
  }

  function sessionProxy({ session, manifest }: Loaded): OnnxSession {
    let length = 0;
    const onLength = (now: number) => {
      length = now;
    };
    return {
      manifest,
      get length() {
        return length;
      },
      read: async (name) => (await send({ method: "read", session, name })) as Uint8Array,
      forward: async (ids, k, allowed = null, signal) =>
        (await send({ method: "forward", session, ids, k, allowed }, { signal, onLength })) as Forward,
      embed: async (ids, lengths, signal) =>
        (await send({ method: "embed", session, ids, lengths }, { signal })) as Float32Array,
      rewind: async (tokens) => (await send({ method: "rewind", session, tokens }, { onLength })) as boolean,
      reset: async () => void (await send({ method: "reset", session }, { onLength })),
      snapshot: async (key, isTemporary = false) =>
        void (await send({ method: "snapshot", session, name: key, isTemporary })),
      restore: async (key) => (await send({ method: "restore", session, name: key }, { onLength })) as boolean,
      async close() {
        if (!sessions.delete(session) || !isOpen) return;
        await send({ method: "close_session", session });
      },
    };
  }

  return {
    availability: async (url) => (await send({ method: "availability", url })) as Availability,
    describe: async (url) => (await send({ method: "describe", url })) as ModelManifest,
    async load(url, { allowDownload, onProgress, signal, threads }: LoadOptions) {
      const call: Call = { method: "load", url, allowDownload, ...(threads === undefined ? {} : { threads }) };
      const loaded = (await send(call, { signal, onProgress })) as Loaded;
      const proxy = sessions.get(loaded.session) ?? sessionProxy(loaded);
      sessions.set(loaded.session, proxy);
      return proxy;
    },
    download: async (url, options = {}) => void (await send({ method: "download", url }, options)),
    remove: async (url) => void (await send({ method: "remove", url })),
    list: async () => (await send({ method: "list" })) as CachedModel[],
    storage: async () => (await send({ method: "storage" })) as StorageState,
    device: async () => (await send({ method: "device" })) as DeviceProfile | null,
    async close() {
      if (!isOpen) return;
      const closed = send({ method: "close" });
      isOpen = false;
      await closed;
      failAll("the bridge is closed");
      port.removeEventListener("message", listen);
    },
  };
}

interface SendOptions {
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: Progress) => void) | undefined;
  readonly onLength?: (length: number) => void;
}

function isAddressed<T>(data: unknown, field: string): data is T & Addressed {
  return typeof data === "object" && data !== null && "channel" in data && data.channel === CHANNEL && field in data;
}

/** The buffers of an answer: they were made for it. */
function transferables(answer: Answer): Transferable[] {
  if (answer.type !== "value") return [];
  const { value } = answer;
  const values: unknown[] = typeof value === "object" && value !== null ? [value, ...Object.values(value)] : [];
  return [...new Set(values.filter((item) => ArrayBuffer.isView(item)).map((view) => view.buffer))].filter(
    (buffer) => buffer instanceof ArrayBuffer,
  );
}
