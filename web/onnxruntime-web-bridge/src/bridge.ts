/**
 * From the address of a model to a session that can be stepped: download, check, keep, open.
 *
 * Everything it touches is passed in: the runtime, the store, `fetch`. `port.ts` gives the same interface to another thread.
 */

import { apiRuntime, type OrtModule } from "./api-runtime.ts";
import { createDevice, type DeviceMeter } from "./device.ts";
import { type DeviceProfile, requireMemory } from "./device-profile.ts";
import { download, type FetchFunction, filePath, quotaError, readChecked } from "./download.ts";
import { BridgeError, throwIfAborted, toBridgeError } from "./errors.ts";
import { expandWeights } from "./expand.ts";
import { createLocks } from "./locks.ts";
import { expandFiles, type ModelFile, type ModelManifest, parseManifest } from "./manifest.ts";
import { type CachedModel, createModelCache, fileLock } from "./model-cache.ts";
import { type Graph, type OnnxRuntime, usableThreads } from "./runtime.ts";
import { type OnnxSession, startSession } from "./session.ts";
import { SharedTasks } from "./shared-task.ts";
import { snapshotFiles } from "./snapshot.ts";
import { type ModelStore, type StorageState, storageState } from "./store.ts";
import { browserStore } from "./store-browser.ts";
import { survivingSession } from "./surviving-session.ts";

export type Availability = "unavailable" | "downloadable" | "downloading" | "available";

export interface Progress {
  readonly status: "download" | "verify" | "store" | "load" | "ready";
  readonly file: string;
  /** Bytes. */
  readonly loaded: number;
  readonly total: number;
}

export interface LoadOptions {
  /** Whether files that are missing may be fetched; else `not_downloaded` is thrown. */
  readonly allowDownload: boolean;
  readonly onProgress?: ((progress: Progress) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
  /**
   * At most so many; fewer where the host has fewer cores, one where memory can't be shared. By default what the device's
   * profile says, and without one as many as leave a core free.
   */
  readonly threads?: number | undefined;
}

export type DownloadOptions = Omit<LoadOptions, "allowDownload" | "threads">;

export interface OnnxBridge {
  /** What `load` would find. `modelUrl` is the address of a folder with a `model.json`, ending with `/`. */
  availability(modelUrl: string): Promise<Availability>;
  /** The model's `model.json`, checked: the server's if it can be reached, else the one that was kept. */
  describe(modelUrl: string): Promise<ModelManifest>;
  /**
   * Load a model, or give the session of that address that is open.
   *
   * One that does not fit is refused before anything of it is fetched: `too_big` for memory, `quota` for storage.
   */
  load(modelUrl: string, options: LoadOptions): Promise<OnnxSession>;
  /** Fetch what is missing of a model without loading it. It is refused as by `load`. */
  download(modelUrl: string, options?: DownloadOptions): Promise<void>;
  /** Close the model's session and delete its files and snapshots, except files which another model uses too. */
  remove(modelUrl: string): Promise<void>;
  /** The models of which something is in the store, whole or not; all tabs of an origin share them. */
  list(): Promise<CachedModel[]>;
  /** What the store is, how much of it is used, and whether the browser may clear it. */
  storage(): Promise<StorageState>;
  /** What this device can do: measured at the first call, on the first visit. Null where it can't be measured. */
  device(): Promise<DeviceProfile | null>;
  /** Stop loading, close the sessions; harmless when called twice. */
  close(): Promise<void>;
}

/** What a bridge works with; each is the browser's own if not given. */
export interface BridgeParts {
  /** `browserStore()` if not given. */
  readonly store?: ModelStore;
  readonly fetch?: FetchFunction;
  /** `navigator.locks` if not given. */
  readonly locks?: LockManager | undefined;
  /** Without it threads are guessed and no model is refused for the memory it needs. */
  readonly meter?: DeviceMeter | undefined;
  /**
   * Runs models on the graphics processor where the profile says that this is faster. When the device is lost, the models
   * on it go on in the first runtime, and later ones are opened there.
   */
  readonly gpuRuntime?: OnnxRuntime | undefined;
}

/** How long the server may take to give `model.json` when there is one from an earlier visit. */
const DESCRIBE_TIMEOUT_MS = 5000;

/** Make a bridge that runs models in this thread. `ort` is a runtime of this package or the module `onnxruntime-web/wasm`. */
export function createOnnxBridge(ort: OnnxRuntime | OrtModule, parts: BridgeParts = {}): OnnxBridge {
  const runtime = "open" in ort ? ort : apiRuntime(ort);
  const { store = browserStore() } = parts;
  const fetch: FetchFunction = parts.fetch ?? ((url, init) => globalThis.fetch(url, init));
  const locks = createLocks(parts.locks ?? globalThis.navigator?.locks);
  const cache = createModelCache(store, locks);
  const device = createDevice(store, locks, parts.meter);
  const sessions = new Map<string, OnnxSession>();
  const loads = new SharedTasks<OnnxSession, Progress>();
  const downloads = new SharedTasks<void, Progress>();
  let gpuRuntime = parts.gpuRuntime;
  let isOpen = true;

  async function fetchManifest(modelUrl: string, signal?: AbortSignal): Promise<ModelManifest> {
    const url = `${modelUrl}model.json`;
    const response = await fetch(url, { cache: "no-cache", ...(signal ? { signal } : {}) }).catch((error: unknown) => {
      throw toBridgeError(error, "offline", "model.json was not reached");
    });
    if (!response.ok) {
      throw new BridgeError("http", `the server answered ${response.status} for model.json`, {
        status: response.status,
      });
    }
    const text = await response.text();
    try {
      return parseManifest(JSON.parse(text));
    } catch (error) {
      if (error instanceof BridgeError) throw error;
      throw new BridgeError("bad_content", "the server sent something else instead of model.json");
    }
  }

  async function describe(modelUrl: string): Promise<ModelManifest> {
    checkUse(isOpen, modelUrl);
    const kept = await cache.kept(modelUrl);
    if (!kept) return fetchManifest(modelUrl);
    // Without a network, or with a broken server, what is here goes on working.
    return fetchManifest(modelUrl, AbortSignal.timeout(DESCRIBE_TIMEOUT_MS)).catch(() => kept);
  }

  async function missing(manifest: ModelManifest): Promise<{ file: ModelFile; bytes: number }[]> {
    const sizes = await Promise.all(manifest.files.map((file) => store.size(filePath(file))));
    return manifest.files
      .map((file, index) => ({ file, bytes: file.size_bytes - (sizes[index] ?? 0) }))
      .filter(({ bytes }) => bytes !== 0);
  }

  /** Give the file's bytes, from the store if they are there and right. */
  async function obtain(
    file: ModelFile,
    modelUrl: string,
    { allowDownload, signal }: LoadOptions,
    report: (status: Progress["status"], loaded: number) => void,
  ): Promise<Uint8Array> {
    const isThere = (await store.size(filePath(file))) === file.size_bytes;
    if (isThere) {
      report("verify", 0);
      const bytes = await readChecked(file, store);
      if (bytes) return bytes;
    }
    if (!allowDownload) throw notDownloaded([file.name], file.size_bytes);
    // Held by name, so that a second tab waits and then finds the file.
    return locks.hold(fileLock(file.sha256), signal, async () => {
      await download(file, modelUrl + file.name, {
        store,
        fetch,
        signal,
        onBytes: (loaded) => report("download", loaded),
      });
      report("verify", file.size_bytes);
      const bytes = await readChecked(file, store);
      if (!bytes) {
        throw new BridgeError("bad_hash", `${file.name} is not the file that model.json promises (SHA-256 differs)`);
      }
      report("store", file.size_bytes);
      return bytes;
    });
  }

  /** Read what the server says of a model. Throws `too_big` when it does not fit this device. */
  async function admit(modelUrl: string): Promise<[ModelManifest, DeviceProfile | undefined]> {
    const [manifest, profile] = await Promise.all([describe(modelUrl), device.profile()]);
    const open = [...sessions].filter(([url]) => url !== modelUrl).map(([, session]) => session.manifest);
    if (profile) requireMemory(manifest, profile, open);
    return [manifest, profile];
  }

  /** Bring all files of a model into the store, check them, and give those that `isWanted` names. */
  async function obtainAll(
    modelUrl: string,
    manifest: ModelManifest,
    options: LoadOptions,
    isWanted?: (name: string) => boolean,
  ): Promise<Map<string, Uint8Array>> {
    const { onProgress, allowDownload } = options;
    const wanted = await missing(manifest);
    const needed = wanted.reduce((sum, { bytes }) => sum + Math.max(0, bytes), 0);
    if (wanted.length > 0) {
      const names = wanted.map(({ file }) => file.name);
      if (!allowDownload) throw notDownloaded(names, needed);
      const free = await store.free().catch(() => undefined);
      if (free !== undefined && free < needed) throw quotaError(needed, free, store);
    }
    await cache.touch(modelUrl, manifest).catch(() => undefined);
    const files = new Map<string, Uint8Array>();
    // Who only wants to have them need not read what is here: it is checked when it is loaded.
    for (const file of isWanted ? manifest.files : wanted.map((one) => one.file)) {
      const bytes = await obtain(file, modelUrl, options, (status, loaded) =>
        onProgress?.({ status, file: file.name, loaded, total: file.size_bytes }),
      );
      if (isWanted?.(file.name)) files.set(file.name, bytes);
    }
    await cache.keep(modelUrl, manifest);
    return files;
  }

  async function open(modelUrl: string, options: LoadOptions): Promise<OnnxSession> {
    const [manifest, profile] = await admit(modelUrl);
    const threads = usableThreads(options.threads ?? profile?.threads);
    const start = async (chosen: OnnxRuntime, given: LoadOptions, onClose?: () => void) => {
      chosen.prepare?.(threads);
      const kept = graphFiles(manifest);
      const files = await obtainAll(modelUrl, manifest, given, (name) => kept.has(name));
      const graph = await openGraph(chosen, manifest, files, threads, given);
      if (given.signal?.aborted || !isOpen) {
        await graph.close();
        throw isOpen ? new BridgeError("aborted", "stopped by the caller") : closedError();
      }
      const snapshots = snapshotFiles(store, manifest);
      const read = (name: string) => readFile(store, manifest, name);
      return startSession({ manifest, graph, snapshots, read, onClose: () => onClose?.() });
    };
    const forget = () => {
      if (sessions.get(modelUrl) === session) sessions.delete(modelUrl);
    };
    const openOnGpu = async (chosen: OnnxRuntime) => {
      const restart = () => {
        // Its other sessions notice for themselves; what is opened from now on is not put there any more.
        gpuRuntime = undefined;
        return start(runtime, { allowDownload: false });
      };
      const first = await start(chosen, options).catch((error: unknown) => {
        if (!isGpuFailure(error)) throw error;
        return restart();
      });
      return survivingSession(first, restart, forget);
    };
    const gpu = profile?.execution_provider === "webgpu" ? gpuRuntime : undefined;
    const session = gpu ? await openOnGpu(gpu) : await start(runtime, options, forget);
    sessions.set(modelUrl, session);
    const { file } = manifest.graph;
    options.onProgress?.({ status: "ready", file, loaded: 1, total: 1 });
    return session;
  }

  return {
    describe,
    async availability(modelUrl) {
      checkUse(isOpen, modelUrl);
      if (sessions.has(modelUrl)) return "available";
      const manifest = await describe(modelUrl).catch(() => undefined);
      if (!manifest) return "unavailable";
      const wanted = await missing(manifest);
      if (wanted.length === 0) return "available";
      const held = await Promise.all(wanted.map(({ file }) => locks.isHeld(fileLock(file.sha256))));
      return held.includes(true) ? "downloading" : "downloadable";
    },
    async load(modelUrl, options) {
      checkUse(isOpen, modelUrl);
      const opened = sessions.get(modelUrl);
      if (opened) return opened;
      const { onProgress, signal } = options;
      try {
        return await loads.join(modelUrl, { onProgress, signal }, (shared) =>
          open(modelUrl, { ...options, ...shared }),
        );
      } catch (error) {
        throw toBridgeError(error);
      }
    },
    async download(modelUrl, options = {}) {
      checkUse(isOpen, modelUrl);
      try {
        await downloads.join(modelUrl, options, async (shared) => {
          const [manifest] = await admit(modelUrl);
          await obtainAll(modelUrl, manifest, { ...shared, allowDownload: true });
        });
      } catch (error) {
        throw toBridgeError(error);
      }
    },
    async remove(modelUrl) {
      checkUse(isOpen, modelUrl);
      await sessions.get(modelUrl)?.close();
      await cache.remove(modelUrl, await describe(modelUrl).catch(() => undefined));
    },
    async list() {
      if (!isOpen) throw closedError();
      return cache.list();
    },
    async storage() {
      if (!isOpen) throw closedError();
      return storageState(store);
    },
    async device() {
      if (!isOpen) throw closedError();
      return (await device.profile()) ?? null;
    },
    async close() {
      if (!isOpen) return;
      isOpen = false;
      loads.abort();
      downloads.abort();
      await Promise.all([...sessions.values()].map((session) => session.close()));
    },
  };
}

/** Names of the files that opening the graph takes. */
function graphFiles({ graph }: ModelManifest): ReadonlySet<string> {
  const { file, external_data, expand } = graph;
  return new Set([file, ...external_data, ...(expand ? [...expandFiles(expand), expand.source] : [])]);
}

/** Make what is made at load, then open the graph. Empties `files`: nothing is held longer than it is needed. */
async function openGraph(
  runtime: OnnxRuntime,
  manifest: ModelManifest,
  files: Map<string, Uint8Array>,
  threads: number,
  { onProgress, signal }: LoadOptions,
): Promise<Graph> {
  const take = (name: string): Uint8Array => {
    const bytes = files.get(name) ?? new Uint8Array();
    files.delete(name);
    return bytes;
  };
  const { file, external_data, expand, is_optimised } = manifest.graph;
  throwIfAborted(signal);
  if (expand) {
    const { target, size_bytes: total } = expand;
    const source = files.get(expand.source) ?? new Uint8Array();
    const graphs = new Map(expandFiles(expand).map((name) => [name, take(name)]));
    const made = await expandWeights(runtime, expand, graphs, source, threads, (loaded) => {
      throwIfAborted(signal);
      onProgress?.({ status: "load", file: target, loaded, total });
    });
    files.set(target, made);
  }
  const external = new Map(external_data.map((name) => [name, take(name)]));
  const bytes = take(file);
  const total = [...external.values()].reduce((sum, data) => sum + data.length, bytes.length);
  onProgress?.({ status: "load", file, loaded: 0, total });
  const graph = await runtime.open(bytes, external, threads, is_optimised);
  onProgress?.({ status: "load", file, loaded: total, total });
  return graph;
}

function checkUse(isOpen: boolean, modelUrl: string): void {
  if (!isOpen) throw closedError();
  if (!modelUrl.endsWith("/")) throw new BridgeError("bad_request", "the address of a model must end with /");
}

/** Whether the other runtime may do what this one could not. */
function isGpuFailure(error: unknown): boolean {
  return ["device_lost", "bad_model", "unsupported", "out_of_memory"].includes(toBridgeError(error).kind);
}

function closedError(): BridgeError {
  return new BridgeError("closed", "the bridge is closed");
}

function notDownloaded(names: readonly string[], needed: number): BridgeError {
  const message = `not downloaded yet: ${names.join(", ")} (${(needed / 1e6).toFixed(1)} MB)`;
  return new BridgeError("not_downloaded", message, { needed });
}

async function readFile(store: ModelStore, manifest: ModelManifest, name: string): Promise<Uint8Array> {
  const file = manifest.files.find((candidate) => candidate.name === name);
  if (!file) throw new BridgeError("bad_request", `the model has no file ${JSON.stringify(name)}`);
  const bytes = await readChecked(file, store);
  if (!bytes) throw new BridgeError("not_downloaded", `${name} is not in the store any more; load the model again`);
  return bytes;
}
