/** Vectors for whole sequences of tokens, all of a batch in one run. */

import { BridgeError } from "./errors.ts";
import type { ModelManifest } from "./manifest.ts";
import type { Graph, Tensor } from "./runtime.ts";
import { floats, longs } from "./sequence.ts";

/** Give the rows one behind the other. Throws `bad_request` when the model gives none or the lengths don't fit. */
export async function embed(
  graph: Graph,
  { graph: spec }: ModelManifest,
  ids: Int32Array,
  lengths: Int32Array,
): Promise<Float32Array> {
  if (spec.embedding === undefined) throw new BridgeError("bad_request", "this model gives words, no vectors");
  const total = lengths.reduce((sum, length) => sum + length, 0);
  if (lengths.some((length) => length < 0) || total !== ids.length) {
    throw new BridgeError("bad_request", `the lengths are those of ${total} tokens, not of ${ids.length}`);
  }
  if (lengths.length === 0) return new Float32Array();
  const width = Math.max(1, ...lengths);
  const padded = new Int32Array(lengths.length * width);
  const mask = new Int32Array(padded.length);
  let start = 0;
  for (const [row, length] of lengths.entries()) {
    padded.set(ids.subarray(start, start + length), row * width);
    mask.fill(1, row * width, row * width + length);
    start += length;
  }
  const shape = [lengths.length, width];
  const feeds = new Map<string, Tensor>();
  let results: readonly Tensor[] = [];
  try {
    feeds.set(spec.input_ids, graph.tensor(longs(padded, shape)));
    feeds.set(spec.attention_mask, graph.tensor(longs(mask, shape)));
    results = await graph.run(feeds, [spec.embedding]);
    // A copy: the runtime reuses the memory.
    return floats(results[0] as Tensor, "embedding").slice();
  } finally {
    for (const tensor of [...feeds.values(), ...results]) tensor.release();
  }
}
