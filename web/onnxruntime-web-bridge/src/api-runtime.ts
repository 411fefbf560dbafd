/**
 * ONNX Runtime through its documented JavaScript API, for builds other than the plain wasm one.
 *
 * Its wasm back end copies every tensor in and out of the heap at each run, so steps cost more the longer the sequence.
 */

import type { ExecutionProvider } from "./device-profile.ts";
import { BridgeError, toBridgeError } from "./errors.ts";
import { ELEMENT_SIZES, type ElementType } from "./manifest.ts";
import { type Graph, grownCapacity, type OnnxRuntime, type Tensor, type TensorData } from "./runtime.ts";

/** What we use of `import * as ort from "onnxruntime-web/wasm"`. */
export interface OrtModule {
  readonly env: { readonly wasm: { numThreads?: number } };
  readonly InferenceSession: {
    create(model: Uint8Array, options: Readonly<Record<string, unknown>>): Promise<OrtSession>;
  };
  readonly Tensor: new (type: never, data: never, shape: readonly number[]) => OrtTensor;
}

export interface OrtSession {
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  run(feeds: never, fetches: readonly string[]): Promise<unknown>;
  release(): Promise<void>;
}

export interface OrtTensor {
  readonly type: string;
  readonly dims: readonly number[];
  readonly data: unknown;
  dispose(): void;
}

type ArrayMaker = new (buffer: ArrayBuffer, offset: number, length: number) => ArrayBufferView;

// What the API wants for each type; 16-bit floats are raw numbers to it.
const ARRAYS: Readonly<Record<ElementType, ArrayMaker>> = {
  float32: Float32Array,
  float64: Float64Array,
  float16: Uint16Array,
  int64: BigInt64Array,
  uint64: BigUint64Array,
  int32: Int32Array,
  uint32: Uint32Array,
  int16: Int16Array,
  uint16: Uint16Array,
  int8: Int8Array,
  uint8: Uint8Array,
  bool: Uint8Array,
};

/** `provider` must be one that the build of `ort` has. */
export function apiRuntime(ort: OrtModule, provider: ExecutionProvider = "wasm"): OnnxRuntime {
  return {
    async open(model, external, threads, isOptimised = false) {
      ort.env.wasm.numThreads = threads;
      try {
        const session = await ort.InferenceSession.create(model, {
          executionProviders: [provider],
          logSeverityLevel: 3,
          graphOptimizationLevel: isOptimised ? "disabled" : "all",
          externalData: [...external].map(([path, data]) => ({ path, data })),
        });
        return openGraph(ort, session);
      } catch (error) {
        throw toBridgeError(error, "bad_model", "the model does not load");
      }
    },
  };
}

function openGraph(ort: OrtModule, session: OrtSession): Graph {
  const tensors = new WeakMap<Tensor, OrtTensor>();
  const rowsOf = new WeakMap<Tensor, { readonly memory: Uint8Array; used: number }>();
  let isOpen = true;

  function wrap(inner: OrtTensor): Tensor {
    const tensor: Tensor = {
      data: () => toData(inner),
      release: () => {
        if (tensors.delete(tensor)) inner.dispose();
      },
    };
    tensors.set(tensor, inner);
    return tensor;
  }

  function append(base: Tensor, added: Tensor): Tensor {
    const { type, shape, bytes } = base.data();
    const { shape: addedShape, bytes: addedBytes } = added.data();
    const total = bytes.length + addedBytes.length;
    let rows = rowsOf.get(base);
    if (!rows || rows.used !== bytes.length || rows.memory.length < total) {
      rows = { memory: new Uint8Array(grownCapacity(total)), used: 0 };
      rows.memory.set(bytes);
    }
    rows.memory.set(addedBytes, bytes.length);
    rows.used = total;
    const grown = [(shape[0] ?? 0) + (addedShape[0] ?? 0), ...shape.slice(1)];
    const tensor = wrap(toTensor(ort, { type, shape: grown, bytes: rows.memory.subarray(0, total) }));
    rowsOf.set(tensor, rows);
    return tensor;
  }

  return {
    inputs: session.inputNames,
    outputs: session.outputNames,
    tensor: (data) => wrap(toTensor(ort, { ...data, bytes: data.bytes.slice() })),
    room(type, shape) {
      const bytes = new Uint8Array(shape.reduce((product, length) => product * length, ELEMENT_SIZES[type]));
      const tensor = wrap(toTensor(ort, { type, shape, bytes }));
      return Object.assign(tensor, { write: (offset: number, added: Uint8Array) => bytes.set(added, offset) });
    },
    append,
    async run(inputs, outputs, places = new Map()) {
      const feeds = Object.fromEntries([...inputs].map(([name, tensor]) => [name, tensors.get(tensor)]));
      try {
        const fetches = [...outputs, ...places.keys()];
        const results = (await session.run(feeds as never, fetches)) as Readonly<Record<string, OrtTensor>>;
        for (const [name, place] of places) {
          // The API writes no output into memory of ours: it gives a copy, of which this is another.
          const made = results[name] as OrtTensor;
          place.write(0, toData(made).bytes);
          made.dispose();
        }
        return outputs.map((name) => wrap(results[name] as OrtTensor));
      } catch (error) {
        throw toBridgeError(error, "bad_model", "the model does not run");
      }
    },
    async close() {
      if (!isOpen) return;
      isOpen = false;
      await session.release();
    },
  };
}

/** Make a tensor over the bytes, which begin at a multiple of the element's size. */
function toTensor(ort: OrtModule, { type, shape, bytes }: TensorData): OrtTensor {
  const length = bytes.byteLength / ELEMENT_SIZES[type];
  return new ort.Tensor(
    type as never,
    new ARRAYS[type](bytes.buffer as ArrayBuffer, bytes.byteOffset, length) as never,
    shape,
  );
}

function toData(tensor: OrtTensor): TensorData {
  const { data, type } = tensor;
  if (!ArrayBuffer.isView(data) || !Object.hasOwn(ARRAYS, type)) {
    throw new BridgeError("bad_model", `the graph gives a tensor of ${type}, which is not supported`);
  }
  const bytes = new Uint8Array(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength);
  return { type: type as ElementType, shape: tensor.dims, bytes };
}
