/** The bridge to onnxruntime-web as Python uses it: jobs that can be stopped, JSON text instead of objects. */

import type { OnnxBridge, OnnxSession, Progress } from "onnxruntime-web-bridge";
import { type Job, startJob } from "./job.ts";

/** A model is named by the URL of its folder, which ends with a slash. */
export interface HostInference {
  availability(modelUrl: string): Promise<string>;
  /** The model's `model.json`, as JSON text. */
  describe(modelUrl: string): Promise<string>;
  load(modelUrl: string, allowDownload: boolean, threads: number | undefined, onProgress: OnProgress): Job<HostSession>;
  download(modelUrl: string, onProgress: OnProgress): Job<void>;
  remove(modelUrl: string): Promise<void>;
  /** `CachedModel`s, a `StorageState`, and a `DeviceProfile` or null; as JSON text. */
  list(): Promise<string>;
  storage(): Promise<string>;
  device(): Promise<string>;
}

/** Python's callable; it must not be called any more once the job was aborted. */
type OnProgress = (status: string, file: string, loaded: number, total: number) => void;

export interface HostSession {
  readonly manifest: string;
  readonly length: number;
  read(name: string): Job<Uint8Array>;
  forward(ids: Int32Array, k: number, allowed: Int32Array | undefined): Job<HostCandidates>;
  /** `ids` has the tokens of all sequences, `lengths` how many each has; the vectors come one behind the other. */
  embed(ids: Int32Array, lengths: Int32Array): Job<Float32Array>;
  rewind(length: number): Job<boolean>;
  reset(): Job<void>;
  snapshot(key: string, isTemporary: boolean): Job<void>;
  restore(key: string): Job<boolean>;
  close(): Job<void>;
}

export interface HostCandidates {
  readonly ids: Int32Array;
  readonly logits: Float32Array;
  readonly logSumExp: number;
  /** A JSON object of numbers. */
  readonly scalars: string;
}

/** `bridge` is asked for at the first need: it may have to start a worker. */
export function createHostInference(bridge: () => OnnxBridge): HostInference {
  return {
    availability: (modelUrl) => bridge().availability(modelUrl),
    describe: async (modelUrl) => JSON.stringify(await bridge().describe(modelUrl)),
    load: (modelUrl, allowDownload, threads, onProgress) =>
      startJob(async (signal) => {
        const session = await bridge().load(modelUrl, {
          allowDownload,
          signal,
          threads,
          onProgress: report(onProgress, signal),
        });
        return wrapSession(session);
      }),
    download: (modelUrl, onProgress) =>
      startJob((signal) => bridge().download(modelUrl, { signal, onProgress: report(onProgress, signal) })),
    remove: (modelUrl) => bridge().remove(modelUrl),
    list: async () => JSON.stringify(await bridge().list()),
    storage: async () => JSON.stringify(await bridge().storage()),
    device: async () => JSON.stringify(await bridge().device()),
  };
}

function report(onProgress: OnProgress, signal: AbortSignal): (progress: Progress) => void {
  return thinOut(({ status, file, loaded, total }) => {
    if (!signal.aborted) onProgress(status, file, loaded, total);
  });
}

const PROGRESS_MS = 100;

/** Pass on the first and the last word on each file, and in between ten a second: a person reads them. */
function thinOut(onProgress: (progress: Progress) => void): (progress: Progress) => void {
  let step = "";
  let last = 0;
  return (progress) => {
    const now = performance.now();
    const next = `${progress.status} ${progress.file}`;
    if (next === step && progress.loaded < progress.total && now - last < PROGRESS_MS) return;
    step = next;
    last = now;
    onProgress(progress);
  };
}

function wrapSession(session: OnnxSession): HostSession {
  return {
    manifest: JSON.stringify(session.manifest),
    get length() {
      return session.length;
    },
    read: (name) => startJob(() => session.read(name)),
    forward: (ids, k, allowed) =>
      startJob(async (signal) => {
        const reply = await session.forward(ids, k, allowed ?? null, signal);
        return { ...reply, scalars: JSON.stringify(reply.scalars) };
      }),
    embed: (ids, lengths) => startJob((signal) => session.embed(ids, lengths, signal)),
    rewind: (length) => startJob(() => session.rewind(length)),
    reset: () => startJob(() => session.reset()),
    snapshot: (key, isTemporary) => startJob(() => session.snapshot(key, isTemporary)),
    restore: (key) => startJob(() => session.restore(key)),
    close: () => startJob(() => session.close()),
  };
}
