/**
 * A sequence whose state is a set of immutable tensors: each run makes a new set from the last one.
 *
 * So to keep it is to hold on to its set, and a set is released when neither the sequence nor anything kept holds it.
 */

import { ELEMENT_SIZES, type ElementType, type ModelManifest, type StateSlot } from "./manifest.ts";
import type { Graph, Tensor, TensorData } from "./runtime.ts";
import { type Kept, readReported, reportedOutputs, runInputs, type Sequence } from "./sequence.ts";
import { decodeState, encodeState } from "./snapshot.ts";

interface State {
  readonly tensors: ReadonlyMap<string, Tensor>;
  readonly length: number;
  readonly logits: Float32Array | undefined;
  readonly scalars: Readonly<Record<string, number>>;
  holders: number;
}

export function copiedSequence(graph: Graph, manifest: ModelManifest): Sequence {
  const spec = manifest.graph;
  const reported = reportedOutputs(spec);
  const outputs = [...reported, ...spec.state.map((slot) => slot.output)];
  let state = hold(initialState(graph, spec.state));

  function become(next: State): void {
    hold(next);
    drop(state);
    state = next;
  }

  function kept(held: State): Kept {
    hold(held);
    let isHeld = true;
    return {
      // It shares its memory with the sequence, most of the time.
      size_bytes: 0,
      restore: () => become(held),
      encode: () => encodeState(held),
      release: () => {
        if (isHeld) drop(held);
        isHeld = false;
      },
    };
  }

  return {
    get length() {
      return state.length;
    },
    get logits() {
      return state.logits;
    },
    get scalars() {
      return state.scalars;
    },
    async append(ids) {
      const given = [...runInputs(spec, ids, state.length)].map(([name, data]) => [name, graph.tensor(data)] as const);
      try {
        const results = await graph.run(new Map([...state.tensors, ...given]), outputs);
        become(nextState(graph, manifest, state, results, ids.length));
      } finally {
        for (const [, tensor] of given) tensor.release();
      }
    },
    rewind: (length) => length === state.length,
    clear: () => become(initialState(graph, spec.state)),
    keep: () => kept(state),
    load(bytes) {
      const decoded = decodeState(bytes, manifest);
      if (!decoded) return undefined;
      const tensors = new Map([...decoded.tensors].map(([input, data]) => [input, graph.tensor(data)]));
      return kept({ ...decoded, tensors, holders: 0 });
    },
    release: () => drop(state),
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

/** Takes over `results`: what the new state does not need is released here, also when something is wrong with it. */
function nextState(
  graph: Graph,
  manifest: ModelManifest,
  before: State,
  results: readonly Tensor[],
  added: number,
): State {
  const { state: slots } = manifest.graph;
  const outputs = results.slice(results.length - slots.length);
  const tensors = new Map<string, Tensor>();
  const unused = new Set(results);
  try {
    const { logits, scalars } = readReported(results, manifest);
    for (const [index, { input, append }] of slots.entries()) {
      const output = outputs[index] as Tensor;
      if (!append) unused.delete(output);
      tensors.set(input, append ? graph.append(before.tensors.get(input) as Tensor, output) : output);
    }
    return { tensors, length: before.length + added, logits, scalars, holders: 0 };
  } catch (error) {
    for (const tensor of tensors.values()) tensor.release();
    throw error;
  } finally {
    for (const tensor of unused) tensor.release();
  }
}
