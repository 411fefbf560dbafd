/** What a session asks of the tokens that it was given: `copied-sequence.ts` and `placed-sequence.ts` are its two kinds. */

import { BridgeError } from "./errors.ts";
import type { ModelGraph, ModelManifest } from "./manifest.ts";
import type { Tensor, TensorData } from "./runtime.ts";

/** The tokens that a graph was given, as the tensors that it made of them. A call that fails changes nothing. */
export interface Sequence {
  readonly length: number;
  /** The scores that were computed last, unless the sequence has been shortened since. */
  readonly logits: Float32Array | undefined;
  readonly scalars: Readonly<Record<string, number>>;
  append(ids: Int32Array): Promise<void>;
  /** Shorten it; false when that can't be done. */
  rewind(length: number): boolean;
  clear(): void;
  /** Hold on to what it holds now. */
  keep(): Kept;
  /** Take what a snapshot in the store holds; nothing when it is damaged. */
  load(bytes: Uint8Array): Kept | undefined;
  release(): void;
}

/** What a sequence held at some time. */
export interface Kept {
  /** How much memory it takes for itself. */
  readonly size_bytes: number;
  /** Let the sequence hold it again. It stays kept. */
  restore(): void;
  /** What `load` of a later session takes. */
  encode(): Uint8Array;
  release(): void;
}

/** Names of the outputs that every run gives, beside the state. */
export function reportedOutputs({ logits, scalars }: ModelGraph): readonly string[] {
  return [logits, ...Object.values(scalars)];
}

/** Read what `reportedOutputs` names, as copies: the runtime reuses the memory. */
export function readReported(
  results: readonly Tensor[],
  { graph, vocab_size }: ModelManifest,
): { readonly logits: Float32Array; readonly scalars: Readonly<Record<string, number>> } {
  const all = floats(results[0] as Tensor, "logits");
  if (all.length < vocab_size) {
    throw new BridgeError("bad_model", `the graph gives ${all.length} logits for ${vocab_size} tokens`);
  }
  const logits = all.slice(all.length - vocab_size);
  const values = Object.keys(graph.scalars).map((name, index) => {
    return [name, floats(results[index + 1] as Tensor, name)[0] ?? 0] as const;
  });
  return { logits, scalars: Object.fromEntries(values) };
}

export function floats(tensor: Tensor, name: string): Float32Array {
  const { type, bytes } = tensor.data();
  if (type !== "float32") throw new BridgeError("bad_model", `${name} must be float32, the graph gives ${type}`);
  return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
}

export function longs(values: ArrayLike<number>, shape: readonly number[]): TensorData {
  return { type: "int64", shape, bytes: new Uint8Array(BigInt64Array.from(values, BigInt).buffer) };
}

/** What each run takes beside the state. */
export function runInputs(spec: ModelGraph, ids: Int32Array, length: number): ReadonlyMap<string, TensorData> {
  const shape = spec.input_ids_shape.map((size) => (size === 0 ? ids.length : size));
  const inputs = new Map([[spec.input_ids, longs(ids, shape)]]);
  if (spec.past_length !== undefined) inputs.set(spec.past_length, longs([length], [1]));
  return inputs;
}
