/**
 * A loaded model: the state of one token sequence, or, for a model that gives vectors, none.
 *
 * Here calls are put in turn, checked and answered; `sequence.ts` holds the state.
 */

import { copiedSequence } from "./copied-sequence.ts";
import { embed } from "./embed.ts";
import { BridgeError, throwIfAborted, toBridgeError } from "./errors.ts";
import type { ModelManifest } from "./manifest.ts";
import { placedSequence } from "./placed-sequence.ts";
import { type Ranking, rank } from "./rank.ts";
import type { Graph } from "./runtime.ts";
import { type Kept, reportedOutputs, type Sequence } from "./sequence.ts";
import type { SnapshotFiles } from "./snapshot.ts";

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
   * given in pieces; the signal is looked at before each run. A failed or aborted call leaves the state as it was, also
   * `too_long`: more than the model's context.
   */
  forward(ids: Int32Array, k: number, allowed?: Int32Array | null, signal?: AbortSignal): Promise<Forward>;
  /**
   * Give a vector for each sequence of tokens, one behind the other. `ids` has them all, `lengths` how long each is.
   *
   * Throws `bad_request` when the model is of the other kind, as `forward` does, and `too_long` like it.
   */
  embed(ids: Int32Array, lengths: Int32Array, signal?: AbortSignal): Promise<Float32Array>;
  /**
   * Shorten the sequence to its first `length` tokens. False when this model's state can't be shortened or isn't that long,
   * and then nothing has changed. Unless the length stays what it was there is nothing to rank until the next tokens.
   */
  rewind(length: number): Promise<boolean>;
  /** Forget the sequence. */
  reset(): Promise<void>;
  /**
   * Keep the state under `key`: at once in memory, and soon in the store, for a later session of the same model. What
   * `isTemporary` is in memory only: 1,000 tokens of a small model are 46 MB, whose writing holds up the next run.
   */
  snapshot(key: string, isTemporary?: boolean): Promise<void>;
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

/** How many prefixes stay in memory, and how many bytes they may take; the one used longest ago goes first. */
export const SNAPSHOTS_IN_MEMORY = 8;
export const SNAPSHOT_BYTES_IN_MEMORY = 128e6;

/** Make a session of an open graph. Throws `bad_model` when the graph lacks what the manifest names. */
export function createSession({ manifest, graph, snapshots, read, onClose }: SessionParts): OnnxSession {
  const spec = manifest.graph;
  const givesVectors = spec.embedding !== undefined;
  requireNames(graph.inputs, [spec.input_ids, ...spec.state.map((slot) => slot.input)], "input");
  if (spec.past_length !== undefined) requireNames(graph.inputs, [spec.past_length], "input");
  if (spec.embedding !== undefined) {
    requireNames(graph.inputs, [spec.attention_mask], "input");
    requireNames(graph.outputs, [spec.embedding], "output");
  } else {
    requireNames(graph.outputs, [...reportedOutputs(spec), ...spec.state.map((slot) => slot.output)], "output");
  }
  const isPlaced = spec.state.some((slot) => slot.in_place);
  const sequence: Sequence = isPlaced ? placedSequence(graph, manifest) : copiedSequence(graph, manifest);
  const kept = new Map<string, Kept>();
  const writes = new Set<Promise<void>>();
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

  function keep(key: string, held: Kept): void {
    forget(key);
    kept.set(key, held);
    const sizes = () => [...kept.values()].reduce((sum, { size_bytes }) => sum + size_bytes, 0);
    for (const oldest of [...kept.keys()].slice(0, -1)) {
      if (kept.size > SNAPSHOTS_IN_MEMORY || sizes() > SNAPSHOT_BYTES_IN_MEMORY) forget(oldest);
    }
  }

  function forget(key: string): void {
    const old = kept.get(key);
    kept.delete(key);
    old?.release();
  }

  /** Find what is kept under a key, in memory or in the store. */
  async function find(key: string): Promise<Kept | undefined> {
    const held = kept.get(key);
    if (held) {
      // Used last from now on.
      kept.delete(key);
      kept.set(key, held);
      return held;
    }
    // A snapshot only saves time: one that can't be read is the same as none.
    const bytes = await snapshots.load(key).catch(() => undefined);
    const loaded = bytes && sequence.load(bytes);
    if (loaded) keep(key, loaded);
    return loaded;
  }

  return {
    manifest,
    get length() {
      return sequence.length;
    },
    read,
    forward: (ids, k, allowed, signal) =>
      exclusive(async () => {
        throwIfAborted(signal);
        if (givesVectors) throw new BridgeError("bad_request", "this model gives vectors, no words");
        checkRequest(manifest, sequence.length, ids, k, allowed);
        if (ids.length > 0) await sequence.append(ids);
        const { logits, scalars } = sequence;
        if (!logits) throw new BridgeError("bad_request", "there is nothing to rank before the first token");
        return { ...rank(logits, Math.min(k, logits.length), allowed), scalars };
      }),
    embed: (ids, lengths, signal) =>
      exclusive(async () => {
        throwIfAborted(signal);
        checkIds(manifest, ids);
        checkRoom(manifest, Math.max(0, ...lengths));
        return embed(graph, manifest, ids, lengths);
      }),
    rewind: (length) => exclusive(async () => length >= 0 && sequence.rewind(length)),
    reset: () => exclusive(async () => sequence.clear()),
    snapshot: (key, isTemporary = false) =>
      exclusive(async () => {
        const held = sequence.keep();
        keep(key, held);
        if (isTemporary) return;
        const write = snapshots.save(key, held.encode()).catch(() => undefined);
        writes.add(write);
        void write.then(() => writes.delete(write));
      }),
    restore: (key) =>
      exclusive(async () => {
        const held = await find(key);
        held?.restore();
        return held !== undefined;
      }),
    async close() {
      if (!isOpen) return;
      isOpen = false;
      await last;
      await Promise.all(writes);
      for (const key of [...kept.keys()]) forget(key);
      sequence.release();
      await graph.close();
      onClose();
    },
  };
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
  for (const list of [ids, allowed ?? new Int32Array()]) checkIds(manifest, list);
  checkRoom(manifest, length + ids.length);
}

function checkRoom({ context_length }: ModelManifest, needed: number): void {
  if (needed <= context_length) return;
  const details = { needed, available: context_length };
  throw new BridgeError("too_long", `${needed} tokens do not fit into the context of ${context_length}`, details);
}

function checkIds({ vocab_size }: ModelManifest, ids: Int32Array): void {
  const wrong = ids.find((id) => id < 0 || id >= vocab_size);
  if (wrong !== undefined) {
    throw new BridgeError("bad_request", `token ${wrong} is outside the vocabulary of ${vocab_size}`);
  }
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
