/** Weights made at load: see `ModelExpand`. */

import { BridgeError } from "./errors.ts";
import { ELEMENT_SIZES, type ExpandInput, type ModelExpand } from "./manifest.ts";
import type { Graph, OnnxRuntime, Tensor } from "./runtime.ts";

/**
 * Run the expanding graphs over `source` and give the target's bytes. `onBytes` is called with the bytes made so far.
 */
export async function expandWeights(
  runtime: OnnxRuntime,
  expand: ModelExpand,
  files: ReadonlyMap<string, Uint8Array>,
  source: Uint8Array,
  threads: number,
  onBytes: (loaded: number) => void,
): Promise<Uint8Array> {
  const target = new Uint8Array(expand.size_bytes);
  const graphs = new Map<string, Graph>();
  try {
    for (const { file, inputs, output, offset, size_bytes } of expand.steps) {
      const graph = graphs.get(file) ?? (await runtime.open(files.get(file) ?? new Uint8Array(), new Map(), threads));
      graphs.set(file, graph);
      const [made] = await runOnce(graph, inputs, output, source);
      try {
        const bytes = made?.data().bytes;
        if (bytes?.length !== size_bytes) throw new BridgeError("bad_model", "the expanding graph gives another size");
        target.set(bytes, offset);
      } finally {
        made?.release();
      }
      onBytes(offset + size_bytes);
    }
  } finally {
    for (const graph of graphs.values()) await graph.close();
  }
  return target;
}

async function runOnce(
  graph: Graph,
  inputs: Readonly<Record<string, ExpandInput>>,
  output: string,
  source: Uint8Array,
): Promise<readonly Tensor[]> {
  const feeds = new Map<string, Tensor>();
  try {
    for (const [name, { offset, shape, type }] of Object.entries(inputs)) {
      const size = shape.reduce((product, length) => product * length, ELEMENT_SIZES[type]);
      feeds.set(name, graph.tensor({ type, shape, bytes: source.subarray(offset, offset + size) }));
    }
    return await graph.run(feeds, [output]);
  } finally {
    for (const tensor of feeds.values()) tensor.release();
  }
}
