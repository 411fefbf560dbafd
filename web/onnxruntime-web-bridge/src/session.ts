/**
 * A loaded model with the state of one token sequence.
 *
 * A state is a set of immutable tensors: each run makes a new set from the last one. So to keep a prefix is to hold on to
 * its set, and a set is released when neither the sequence nor a snapshot holds it.
 */

import { BridgeError, throwIfAborted, toBridgeError } from "./errors.ts";
import { ELEMENT_SIZES, type ElementType, type ModelGraph, type ModelManifest, type StateSlot } from "./manifest.ts";
import { type Ranking, rank } from "./rank.ts";
import type { Graph, Tensor, TensorData } from "./runtime.ts";
import { decodeState, encodeState, type SnapshotFiles } from "./snapshot.ts";

/** What may come next, and what else the model reports, such as a confidence. */
export interface Forward extends Ranking {
  readonly scalars: Readonly<Record<string, number>>;
}

export interface OnnxSession {
  readonly manifest: ModelManifest;
  /** How many tokens the state holds. */
  readonly length: number;
  /** Read one of the model's files, such as its tokenizer. */
  read(name: string): Promise<Uint8Array>;
  /**
   * Append tokens to the sequence and rank what may come next: the best `k`, among `allowed` if given.
   *
   * With no ids the last logits are ranked again. A run that has begun can't be interrupted, so a long prompt is best
   * given in pieces; the signal is looked at before each run. A failed or aborted call leaves the state as it was.
   */
  forward(ids: Int32Array, k: number, allowed?: Int32Array | null, signal?: AbortSignal): Promise<Forward>;
  /** Forget the sequence. */
  reset(): Promise<void>;
  /** Keep the state under `key`: at once in memory, and soon in the store, for a later session of the same model. */
  snapshot(key: string): Promise<void>;
  /** Go back to the state kept under `key`. False when there is none, and then nothing has changed. */
  restore(key: string): Promise<boolean>;
  /** Give back the memory; harmless when called twice. Waits until snapshots are written. */
  close(): Promise<void>;
}

export interface SessionParts {
  readonly manifest: ModelManifest;
  readonly graph: Graph;
  readonly snapshots: SnapshotFiles;
  readonly read: (name: string) => Promise<Uint8Array>;
  readonly onClose: () => void;
}

/** How many prefixes stay in memory; the one used longest ago goes first. */
export const SNAPSHOTS_IN_MEMORY = 8;

interface State {
  readonly tensors: ReadonlyMap<string, Tensor>;
  readonly length: number;
  /** The last row that was computed; none before the first token. */
  readonly logits: Float32Array | undefined;
  readonly scalars: Readonly<Record<string, number>>;
  holders: number;
}

/** Make a session of an open graph. Throws `bad_model` when the graph lacks what the manifest names. */
export function createSession({ manifest, graph, snapshots, read, onClose }: SessionParts): OnnxSession {
  const spec = manifest.graph;
  const outputs = [spec.logits, ...Object.values(spec.scalars), ...spec.state.map((slot) => slot.output)];
  requireNames(graph.inputs, [spec.input_ids, ...spec.state.map((slot) => slot.input)], "input");
  requireNames(graph.outputs, outputs, "output");

  const kept = new Map<string, State>();
  const writes = new Set<Promise<void>>();
  let state = hold(initialState(graph, spec.state));
  let isOpen = true;
  let last: Promise<unknown> = Promise.resolve();

  /** One call at a time: a second one waits, so that it sees a whole state. */
  function exclusive<T>(use: () => Promise<T>): Promise<T> {
    const result = last.then(() => {
      if (!isOpen) throw new BridgeError("closed", "the session is closed");
      return use();
    });
    last = result.catch(() => undefined);
    return result;
  }

  function become(next: State): void {
    hold(next);
    drop(state);
    state = next;
  }

  function keep(key: string, used: State): void {
    hold(used);
    forget(key);
    kept.set(key, used);
    for (const oldest of [...kept.keys()].slice(0, -SNAPSHOTS_IN_MEMORY)) forget(oldest);
  }

  function forget(key: string): void {
    const old = kept.get(key);
    kept.delete(key);
    if (old) drop(old);
  }

  async function append(ids: Int32Array): Promise<void> {
    const input = graph.tensor(idsTensor(ids, spec));
    try {
      const results = await graph.run(new Map([...state.tensors, [spec.input_ids, input]]), outputs);
      become(nextState(graph, manifest, state, results, ids.length));
    } finally {
      input.release();
    }
  }

  return {
    manifest,
    get length() {
      return state.length;
    },
    read,
    forward: (ids, k, allowed, signal) =>
      exclusive(async () => {
        throwIfAborted(signal);
        checkRequest(manifest, state.length, ids, k, allowed);
        if (ids.length > 0) await append(ids);
        if (!state.logits) throw new BridgeError("bad_request", "there is nothing to rank before the first token");
        return { ...rank(state.logits, Math.min(k, state.logits.length), allowed), scalars: state.scalars };
      }),
    reset: () => exclusive(async () => become(initialState(graph, spec.state))),
    snapshot: (key) =>
      exclusive(async () => {
        keep(key, state);
        const write = snapshots.save(key, encodeState(state)).catch(() => undefined);
        writes.add(write);
        void write.then(() => writes.delete(write));
      }),
    restore: (key) =>
      exclusive(async () => {
        const found = kept.get(key) ?? (await loadState(graph, manifest, snapshots, key));
        if (!found) return false;
        become(found);
        keep(key, found);
        return true;
      }),
    async close() {
      if (!isOpen) return;
      isOpen = false;
      await last;
      await Promise.all(writes);
      for (const key of [...kept.keys()]) forget(key);
      drop(state);
      await graph.close();
      onClose();
    },
  };
}

function hold(state: State): State {
  state.holders++;
  return state;
}

function drop(state: State): void {
  if (--state.holders === 0) for (const tensor of state.tensors.values()) tensor.release();
}

function initialState(graph: Graph, slots: readonly StateSlot[]): State {
  const tensors = new Map(slots.map((slot) => [slot.input, graph.tensor(initialTensor(slot))]));
  return { tensors, length: 0, logits: undefined, scalars: {}, holders: 0 };
}

function initialTensor({ type, shape, fill }: StateSlot): TensorData {
  const size = shape.reduce((product, length) => product * length, 1);
  return { type, shape, bytes: filled(type, size, fill) };
}

function filled(type: ElementType, size: number, fill: number): Uint8Array {
  const bytes = new Uint8Array(size * ELEMENT_SIZES[type]);
  if (fill === 0) return bytes;
  const { buffer } = bytes;
  if (type === "float32") new Float32Array(buffer).fill(fill);
  else if (type === "float64") new Float64Array(buffer).fill(fill);
  else if (type === "int64" || type === "uint64") new BigInt64Array(buffer).fill(BigInt(fill));
  else if (type === "int32" || type === "uint32") new Int32Array(buffer).fill(fill);
  else if (type === "int16" || type === "uint16") new Int16Array(buffer).fill(fill);
  else bytes.fill(fill);
  return bytes;
}

function idsTensor(ids: Int32Array, spec: ModelGraph): TensorData {
  const wide = BigInt64Array.from(ids, BigInt);
  const shape = spec.input_ids_shape.map((size) => (size === 0 ? ids.length : size));
  return { type: "int64", shape, bytes: new Uint8Array(wide.buffer) };
}

/** Takes over `results`: what the new state does not need is released here, also when something is wrong with it. */
function nextState(
  graph: Graph,
  manifest: ModelManifest,
  before: State,
  results: readonly Tensor[],
  added: number,
): State {
  const { scalars, state: slots } = manifest.graph;
  const names = Object.keys(scalars);
  const outputs = results.slice(1 + names.length);
  const tensors = new Map<string, Tensor>();
  const unused = new Set(results);
  try {
    const logits = lastRow(results[0] as Tensor, manifest);
    const values = names.map((name, index) => [name, floats(results[index + 1] as Tensor, name)[0] ?? 0] as const);
    for (const [index, { input, append }] of slots.entries()) {
      const output = outputs[index] as Tensor;
      if (!append) unused.delete(output);
      tensors.set(input, append ? graph.append(before.tensors.get(input) as Tensor, output) : output);
    }
    return { tensors, length: before.length + added, logits, scalars: Object.fromEntries(values), holders: 0 };
  } catch (error) {
    for (const tensor of tensors.values()) tensor.release();
    throw error;
  } finally {
    for (const tensor of unused) tensor.release();
  }
}

/** A copy: the runtime reuses the memory. */
function lastRow(logits: Tensor, { vocab_size }: ModelManifest): Float32Array {
  const all = floats(logits, "logits");
  if (all.length < vocab_size) {
    throw new BridgeError("bad_model", `the graph gives ${all.length} logits for ${vocab_size} tokens`);
  }
  return all.slice(all.length - vocab_size);
}

function floats(tensor: Tensor, name: string): Float32Array {
  const { type, bytes } = tensor.data();
  if (type !== "float32") throw new BridgeError("bad_model", `${name} must be float32, the graph gives ${type}`);
  return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
}

async function loadState(
  graph: Graph,
  manifest: ModelManifest,
  snapshots: SnapshotFiles,
  key: string,
): Promise<State | undefined> {
  // A snapshot only saves time: one that can't be read is the same as none.
  const bytes = await snapshots.load(key).catch(() => undefined);
  const decoded = bytes && decodeState(bytes, manifest);
  if (!decoded) return undefined;
  const tensors = new Map([...decoded.tensors].map(([input, data]) => [input, graph.tensor(data)]));
  return { ...decoded, tensors, holders: 0 };
}

function requireNames(present: readonly string[], wanted: readonly string[], what: string): void {
  for (const name of wanted) {
    if (present.includes(name)) continue;
    throw new BridgeError("bad_model", `the graph has no ${what} ${JSON.stringify(name)}`, { name });
  }
}

function checkRequest(
  manifest: ModelManifest,
  length: number,
  ids: Int32Array,
  k: number,
  allowed: Int32Array | null | undefined,
): void {
  if (!Number.isInteger(k) || k < 1) throw new BridgeError("bad_request", `k must be at least 1, not ${k}`);
  for (const id of [ids, allowed ?? new Int32Array()].flatMap(
    (list) => list.find((id) => !isToken(id, manifest)) ?? [],
  )) {
    throw new BridgeError("bad_request", `token ${id} is outside the vocabulary of ${manifest.vocab_size}`);
  }
  if (length + ids.length > manifest.context_length) {
    throw new BridgeError(
      "bad_request",
      `${length + ids.length} tokens do not fit into the context of ${manifest.context_length}`,
    );
  }
}

function isToken(id: number, manifest: ModelManifest): boolean {
  return id >= 0 && id < manifest.vocab_size;
}

/** Open a graph and make a session of it; the graph is closed again when that fails. */
export async function startSession(parts: SessionParts): Promise<OnnxSession> {
  try {
    return createSession(parts);
  } catch (error) {
    await parts.graph.close();
    throw toBridgeError(error, "bad_model");
  }
}
