/**
 * Models for callers that name the whole sequence each time. What a model has computed is a cache that nobody needs to
 * know of: when it is lost, because the object was evicted or others asked meanwhile, it is computed again.
 */

import { BridgeError, type Forward, type ModelStore, type OnnxBridge, type OnnxSession } from "onnxruntime-web-bridge";

export interface LocalModels {
  /** The model's `model.json`, as JSON text. */
  describe(id: string): Promise<string>;
  read(id: string, name: string): Promise<Uint8Array>;
  /** Rank what may follow `ids`, the sequence from its first token on. */
  forward(id: string, ids: Int32Array, k: number, allowed: Int32Array | null): Promise<Forward>;
  /** Keep what was computed of `ids` for later, if it is still there. */
  keep(id: string, ids: Int32Array): Promise<void>;
  /** A vector for each sequence, one behind the other. */
  embed(id: string, ids: Int32Array, lengths: Int32Array): Promise<Float32Array>;
}

/** Where the files are: a folder for each model, its name at the end. */
export const MODELS_URL = "https://models.invalid/";
/** Tokens that are computed between two looks at anything else. */
const STEP = 64;
/** A sequence is kept when so many of its tokens would be lost. */
const LEAST_KEPT = 16;
/** As many as a session of the bridge keeps. */
const MOST_KEPT = 8;
/** After these a session is of no more use. */
const FATAL: readonly string[] = ["closed", "out_of_memory", "internal"];

interface Loaded {
  readonly session: OnnxSession;
  readonly memory_bytes: number;
  held: Int32Array;
  /** Whether there is something to rank behind `held`. */
  isRanked: boolean;
  /** By the session's key for it, the one used last at the end. */
  readonly kept: Map<string, Int32Array>;
}

/** Run models over a bridge; those that were used longest ago are closed when they need more than `limit_bytes` together. */
export function createLocalModels(bridge: OnnxBridge, limit_bytes: number): LocalModels {
  const loaded = new Map<string, Loaded>();
  let last: Promise<unknown> = Promise.resolve();
  let keys = 0;

  /** One call at a time: there is one thread, and a model is not closed under another call. */
  function inTurn<T>(use: () => Promise<T>): Promise<T> {
    const result = last.then(use);
    last = result.catch(() => undefined);
    return result;
  }

  async function open(id: string): Promise<Loaded> {
    const found = loaded.get(id);
    if (found) {
      loaded.delete(id);
      loaded.set(id, found);
      return found;
    }
    const url = urlOf(id);
    const { memory_bytes } = await bridge.describe(url);
    if (memory_bytes > limit_bytes) {
      const text = `it needs ${megabytes(memory_bytes)}, an isolate has ${megabytes(limit_bytes)} for models`;
      throw new BridgeError("too_big", text, { needed: memory_bytes, available: limit_bytes });
    }
    const used = () => [...loaded.values()].reduce((sum, model) => sum + model.memory_bytes, memory_bytes);
    for (const [other, model] of [...loaded]) {
      if (used() <= limit_bytes) break;
      loaded.delete(other);
      await model.session.close();
    }
    const session = await bridge.load(url, { allowDownload: false, threads: 1 });
    const model: Loaded = { session, memory_bytes, held: new Int32Array(), isRanked: false, kept: new Map() };
    loaded.set(id, model);
    return model;
  }

  async function use<T>(id: string, work: (model: Loaded) => Promise<T>): Promise<T> {
    const model = await open(id);
    try {
      return await work(model);
    } catch (error) {
      if (!(error instanceof BridgeError) || FATAL.includes(error.kind)) {
        loaded.delete(id);
        await model.session.close().catch(() => undefined);
      }
      throw error;
    }
  }

  async function keep(model: Loaded): Promise<void> {
    for (const [key, tokens] of model.kept) if (isSame(tokens, model.held)) return useLast(model, key);
    const key = `kept-${keys++}`;
    await model.session.snapshot(key);
    model.kept.set(key, model.held);
    if (model.kept.size > MOST_KEPT) model.kept.delete(model.kept.keys().next().value ?? "");
  }

  /** Go back to a beginning of `ids` that is held or kept, and say how long it is. */
  async function goBack(model: Loaded, ids: Int32Array): Promise<number> {
    const { session, held } = model;
    const common = commonLength(held, ids);
    let best: [key: string, tokens: Int32Array] | undefined;
    for (const [key, tokens] of model.kept) {
      if (commonLength(tokens, ids) === tokens.length && tokens.length > (best?.[1].length ?? 0)) best = [key, tokens];
    }
    const goesOn = common === held.length && (model.isRanked || common < ids.length);
    if (goesOn && common >= (best?.[1].length ?? 0)) return common;
    if (model.isRanked && !goesOn && held.length - common >= LEAST_KEPT) await keep(model);
    const length = Math.min(common, ids.length - 1);
    if (length > (best?.[1].length ?? 0) && (await session.rewind(length))) {
      model.held = held.slice(0, length);
      model.isRanked = false;
      return length;
    }
    if (best && (await session.restore(best[0]))) {
      model.held = best[1];
      model.isRanked = true;
      useLast(model, best[0]);
      return best[1].length;
    }
    if (best) model.kept.delete(best[0]);
    await session.reset();
    model.held = new Int32Array();
    model.isRanked = false;
    return 0;
  }

  return {
    describe: (id) => inTurn(async () => JSON.stringify(await bridge.describe(urlOf(id)))),
    read: (id, name) => inTurn(() => use(id, ({ session }) => session.read(name))),
    forward: (id, ids, k, allowed) =>
      inTurn(() =>
        use(id, async (model) => {
          let place = await goBack(model, ids);
          for (;;) {
            const piece = ids.slice(place, place + STEP);
            place += piece.length;
            const isLast = place === ids.length;
            const best = await model.session.forward(piece, isLast ? k : 1, isLast ? allowed : null);
            model.held = ids.slice(0, place);
            model.isRanked = true;
            if (isLast) return best;
          }
        }),
      ),
    keep: (id, ids) =>
      inTurn(() =>
        use(id, async (model) => {
          if (model.isRanked && isSame(model.held, ids)) await keep(model);
        }),
      ),
    embed: (id, ids, lengths) => inTurn(() => use(id, ({ session }) => session.embed(ids, lengths))),
  };
}

function useLast({ kept }: Loaded, key: string): void {
  const tokens = kept.get(key);
  if (!tokens) return;
  kept.delete(key);
  kept.set(key, tokens);
}

function urlOf(id: string): string {
  if (!/^[\w.-]+$/.test(id)) throw new BridgeError("bad_request", `no model is called ${JSON.stringify(id)}`);
  return `${MODELS_URL}${id}/`;
}

function isSame(left: Int32Array, right: Int32Array): boolean {
  return left.length === right.length && commonLength(left, right) === left.length;
}

function commonLength(left: Int32Array, right: Int32Array): number {
  const most = Math.min(left.length, right.length);
  for (let place = 0; place < most; place++) if (left[place] !== right[place]) return place;
  return most;
}

function megabytes(bytes: number): string {
  return `${Math.ceil(bytes / 1e6)} MB`;
}

/**
 * The files that were uploaded, as a store that is whole already. Each is read when it is asked for and not held: memory
 * is what is short here. Nothing is written, so a snapshot lives as long as its session.
 *
 * `get` gives a file by its address, undefined when there is none.
 */
export function uploadedStore(get: (url: string) => Promise<Response | undefined>): {
  readonly store: ModelStore;
  readonly fetch: (url: string) => Promise<Response>;
} {
  const urls = new Map<string, { readonly url: string; readonly size_bytes: number }>();

  async function fetch(url: string): Promise<Response> {
    const response = (await get(url)) ?? new Response("no such file", { status: 404 });
    if (!response.ok || !url.endsWith("/model.json")) return response;
    const text = await response.text();
    try {
      const { files } = JSON.parse(text) as { files: { name: string; size_bytes: number; sha256: string }[] };
      // By the paths under which the bridge asks its store.
      for (const { name, size_bytes, sha256 } of files) {
        urls.set(`files/${sha256}`, { url: new URL(name, url).href, size_bytes });
      }
    } catch {
      // The bridge reads the same text, and says what is wrong with it.
    }
    return new Response(text);
  }

  return {
    fetch,
    store: {
      name: "the upload",
      size: async (path) => urls.get(path)?.size_bytes,
      async read(path) {
        const file = urls.get(path);
        const response = file && (await get(file.url));
        return response?.ok ? new Uint8Array(await response.arrayBuffer()) : undefined;
      },
      write: async () => undefined,
      append: async () => {
        throw new BridgeError("not_downloaded", "the files of a model come with the upload");
      },
      remove: async () => undefined,
      list: async () => [],
      free: async () => undefined,
    },
  };
}
