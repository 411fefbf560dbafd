/**
 * ONNX Runtime's plain wasm build without its JavaScript API, so that tensors stay in the heap between two runs.
 *
 * The API copies each input in and each output out, which for a key-value state of 7 MB is most of what a small model
 * spends outside its kernels (numbers in README.md). Here the outputs of a run are the inputs of the next one.
 */

import { BridgeError, toBridgeError } from "./errors.ts";
import { ELEMENT_SIZES, type ElementType } from "./manifest.ts";
import { type Graph, grownCapacity, type OnnxRuntime, type Room, type Tensor, type TensorData } from "./runtime.ts";
import {
  allocate,
  allocateText,
  check,
  heap,
  noRoom,
  type Pointer,
  type WasmModule,
  type WasmModuleFactory,
  type WasmModuleSettings,
  withStack,
} from "./wasm-module.ts";

// Numbers of `TensorProto.DataType` in onnx.proto.
const TYPE_NUMBERS: Readonly<Record<ElementType, number>> = {
  float32: 1,
  uint8: 2,
  int8: 3,
  uint16: 4,
  int16: 5,
  int32: 6,
  int64: 7,
  bool: 9,
  float16: 10,
  float64: 11,
  uint32: 12,
  uint64: 13,
};
const TYPE_NAMES = new Map(Object.entries(TYPE_NUMBERS).map(([name, number]) => [number, name as ElementType]));

const OPTIMISE_NOTHING = 0;
const OPTIMISE_ALL = 99;
const LOG_ERRORS = 3;
const ON_CPU = 1;
const IDLE_MS = 5000;

export interface WasmRuntimeOptions {
  /** Address of `ort-wasm-simd-threaded.wasm`; beside the module when not given. */
  readonly wasmUrl?: string | URL;
  readonly wasmBinary?: ArrayBuffer | Uint8Array;
}

/**
 * Run on `ort-wasm-simd-threaded.mjs`, given by its address or, for one thread, as what it exports.
 *
 * Serve the file as it is: its threads are workers that load it by its own address, which a bundler would change.
 */
export function wasmRuntime(source: string | URL | WasmModuleFactory, options: WasmRuntimeOptions = {}): OnnxRuntime {
  let shared: Instance | undefined;

  async function acquire(threads: number): Promise<Instance> {
    if (shared?.isBroken || (shared && shared.users === 0 && shared.threads !== threads)) shared = undefined;
    shared ??= startInstance(source, options, threads);
    const instance = shared;
    instance.users++;
    try {
      await instance.module;
    } catch (error) {
      if (shared === instance) shared = undefined;
      throw toBridgeError(error, "unsupported", "ONNX Runtime does not start");
    }
    return instance;
  }

  function release(instance: Instance): void {
    instance.users--;
    // A memory never shrinks; only dropping the module gives it back, whenever the collector comes by. So the module is
    // kept for a while: dropped at each close, twenty loads left up to 25 MB each behind for a time (Chromium 150).
    // With threads it is kept for good: its pool of workers can't be stopped from outside.
    if (instance.users > 0 || instance.threads > 1) return;
    const idle = setTimeout(() => {
      if (instance.users === 0 && shared === instance) shared = undefined;
    }, IDLE_MS);
    // Node would wait for it.
    if (typeof idle === "object") idle.unref();
  }

  return {
    prepare(threads) {
      void acquire(threads).then(release, () => undefined);
    },
    async open(model, external, threads, isOptimised = false) {
      const instance = await acquire(threads);
      try {
        const module = await instance.module;
        const session = await createSession(module, model, external, isOptimised ? OPTIMISE_NOTHING : OPTIMISE_ALL);
        return openGraph(instance, module, session, () => release(instance));
      } catch (error) {
        if (error instanceof WebAssembly.RuntimeError) instance.isBroken = true;
        release(instance);
        throw toBridgeError(error, "bad_model", "the model does not load");
      }
    },
  };
}

/** A started module and who uses it. After an abort it can't be used any more. */
interface Instance {
  readonly module: Promise<WasmModule>;
  readonly threads: number;
  users: number;
  isBroken: boolean;
}

function startInstance(
  source: string | URL | WasmModuleFactory,
  options: WasmRuntimeOptions,
  threads: number,
): Instance {
  return { module: startModule(source, options, threads), threads, users: 0, isBroken: false };
}

async function startModule(
  source: string | URL | WasmModuleFactory,
  options: WasmRuntimeOptions,
  threads: number,
): Promise<WasmModule> {
  const factory = typeof source === "function" ? source : await importFactory(String(source));
  const { wasmUrl, wasmBinary } = options;
  const settings: WasmModuleSettings = {
    numThreads: threads,
    ...(wasmUrl === undefined ? {} : { locateFile: () => String(wasmUrl) }),
    ...(wasmBinary === undefined ? {} : { wasmBinary }),
  };
  const module = await factory(settings);
  check(module, module._OrtInit(threads, LOG_ERRORS) === 0, "ONNX Runtime does not start");
  return module;
}

async function importFactory(url: string): Promise<WasmModuleFactory> {
  const loaded: { default?: unknown } = await import(/* webpackIgnore: true */ /* @vite-ignore */ url);
  if (typeof loaded.default !== "function") {
    throw new BridgeError("unsupported", `${url} is not ONNX Runtime's wasm module`);
  }
  return loaded.default as WasmModuleFactory;
}

function openGraph(instance: Instance, module: WasmModule, session: Pointer, onClose: () => void): Graph {
  const { inputs, outputs } = readNames(module, session);
  const runOptions = module._OrtCreateRunOptions(LOG_ERRORS, 0, false, 0);
  const pointers = new WeakMap<Tensor, Pointer>();
  const rowsOf = new WeakMap<Tensor, Rows>();
  let isOpen = true;

  /** `free` gives back data that we allocated for a tensor; the runtime frees the data of its own. */
  function wrap(pointer: Pointer, free?: () => void): Tensor {
    let isReleased = false;
    const tensor: Tensor = {
      data: () => readTensor(module, pointer),
      release: () => {
        if (isReleased) return;
        isReleased = true;
        pointers.delete(tensor);
        if (instance.isBroken) return;
        module._OrtReleaseTensor(pointer);
        free?.();
      },
    };
    pointers.set(tensor, pointer);
    return tensor;
  }

  function room(type: ElementType, shape: readonly number[]): Room {
    const size = shape.reduce((product, length) => product * length, ELEMENT_SIZES[type]);
    const memory = module._malloc(Math.max(1, size));
    if (memory === 0) throw noRoom(size);
    const tensor = wrap(tensorOver(module, type, shape, memory, size), () => module._free(memory));
    return Object.assign(tensor, {
      write: (offset: number, bytes: Uint8Array) => heap(module).set(bytes, memory + offset),
    });
  }

  function append(base: Tensor, added: Tensor): Tensor {
    const { type, shape, bytes } = base.data();
    const size = bytes.length;
    const { shape: addedShape, bytes: addedBytes } = added.data();
    const total = size + addedBytes.length;
    let rows = rowsOf.get(base);
    if (!rows || rows.used !== size || rows.capacity < total) {
      rows = createRows(module, total);
      copyWithin(module, base.data().bytes, rows.pointer);
    }
    copyWithin(module, added.data().bytes, rows.pointer + size);
    rows.used = total;
    const owner = rows;
    const grown = [(shape[0] ?? 0) + (addedShape[0] ?? 0), ...shape.slice(1)];
    const tensor = wrap(tensorOver(module, type, grown, owner.pointer, total), () => {
      if (--owner.holders === 0) module._free(owner.pointer);
    });
    owner.holders++;
    rowsOf.set(tensor, owner);
    return tensor;
  }

  function pointerOf(tensor: Tensor | undefined, name: string): Pointer {
    const pointer = tensor && pointers.get(tensor);
    if (pointer === undefined) throw new BridgeError("internal", `input ${name} is missing or was released`);
    return pointer;
  }

  function name(names: ReadonlyMap<string, Pointer>, wanted: string): Pointer {
    const pointer = names.get(wanted);
    if (pointer === undefined) {
      throw new BridgeError("bad_model", `the graph has no ${JSON.stringify(wanted)}`, { name: wanted });
    }
    return pointer;
  }

  async function run(
    given: ReadonlyMap<string, Tensor>,
    wanted: readonly string[],
    places: ReadonlyMap<string, Room> = new Map(),
  ): Promise<readonly Tensor[]> {
    const feeds = [...given].map(([key, tensor]) => [name(inputs, key), pointerOf(tensor, key)] as const);
    // An output whose tensor is 0 is made by the runtime.
    const placed = [...places].map(([key, tensor]) => [name(outputs, key), pointerOf(tensor, key)] as const);
    const fetches = [...wanted.map((key) => [name(outputs, key), 0] as const), ...placed];
    // In the heap, not on the stack: the call below may give control back before it has ended.
    const table = module._malloc(4 * (2 * feeds.length + 2 * fetches.length));
    const [inputNames, inputValues] = [table, table + 4 * feeds.length];
    const [outputNames, outputValues] = [table + 8 * feeds.length, table + 8 * feeds.length + 4 * fetches.length];
    feeds.forEach(([key, tensor], index) => {
      module.setValue(inputNames + 4 * index, key, "*");
      module.setValue(inputValues + 4 * index, tensor, "*");
    });
    fetches.forEach(([key, tensor], index) => {
      module.setValue(outputNames + 4 * index, key, "*");
      module.setValue(outputValues + 4 * index, tensor, "*");
    });
    try {
      const code = await module._OrtRun(
        session,
        inputNames,
        inputValues,
        feeds.length,
        outputNames,
        fetches.length,
        outputValues,
        runOptions,
      );
      check(module, code === 0, "the model does not run");
      return wanted.map((_, index) => wrap(module.getValue(outputValues + 4 * index, "*")));
    } catch (error) {
      if (error instanceof WebAssembly.RuntimeError) instance.isBroken = true;
      throw toBridgeError(error, "bad_model", "the model does not run");
    } finally {
      if (!instance.isBroken) module._free(table);
    }
  }

  return {
    inputs: [...inputs.keys()],
    outputs: [...outputs.keys()],
    tensor: (data) => {
      const memory = allocate(module, data.bytes);
      const pointer = tensorOver(module, data.type, data.shape, memory, data.bytes.length);
      return wrap(pointer, () => module._free(memory));
    },
    room,
    append,
    run,
    async close() {
      if (!isOpen) return;
      isOpen = false;
      if (!instance.isBroken) {
        module._OrtReleaseRunOptions(runOptions);
        for (const pointer of [...inputs.values(), ...outputs.values()]) module._OrtFree(pointer);
        module._OrtReleaseSession(session);
      }
      onClose();
    },
  };
}

async function createSession(
  module: WasmModule,
  model: Uint8Array,
  external: ReadonlyMap<string, Uint8Array>,
  optimisation: number,
): Promise<Pointer> {
  const bytes = allocate(module, model);
  const logId = allocateText(module, "onnx");
  let options: Pointer = 0;
  try {
    options = module._OrtCreateSessionOptions(optimisation, true, true, 0, false, 0, logId, LOG_ERRORS, 0, 0);
    check(module, options !== 0, "the session has no options");
    for (const [path, data] of external) module.mountExternalData?.(path, data);
    const session = await module._OrtCreateSession(bytes, model.byteLength, options);
    check(module, session !== 0, "the model does not load");
    return session;
  } finally {
    module.unmountExternalData?.();
    if (options !== 0) module._OrtReleaseSessionOptions(options);
    module._free(logId);
    module._free(bytes);
  }
}

function readNames(
  module: WasmModule,
  session: Pointer,
): { inputs: ReadonlyMap<string, Pointer>; outputs: ReadonlyMap<string, Pointer> } {
  return withStack(module, () => {
    const place = module.stackAlloc(8);
    check(module, module._OrtGetInputOutputCount(session, place, place + 4) === 0, "the model has no inputs");
    const inputCount = module.getValue(place, "i32");
    const count = inputCount + module.getValue(place + 4, "i32");
    const names = Array.from({ length: count }, (_, index): [string, Pointer] => {
      check(module, module._OrtGetInputOutputMetadata(session, index, place, place + 4) === 0, "a name is missing");
      const pointer = module.getValue(place, "*");
      module._OrtFree(module.getValue(place + 4, "*"));
      return [module.UTF8ToString(pointer), pointer];
    });
    return { inputs: new Map(names.slice(0, inputCount)), outputs: new Map(names.slice(inputCount)) };
  });
}

/** Memory for rows that several tensors share: each sees the first so many, and only the longest may be continued. */
interface Rows {
  readonly pointer: Pointer;
  readonly capacity: number;
  used: number;
  holders: number;
}

function createRows(module: WasmModule, size: number): Rows {
  const capacity = grownCapacity(size);
  const pointer = module._malloc(capacity);
  if (pointer === 0) throw noRoom(capacity);
  return { pointer, capacity, used: 0, holders: 0 };
}

function copyWithin(module: WasmModule, view: Uint8Array, to: Pointer): void {
  heap(module).copyWithin(to, view.byteOffset, view.byteOffset + view.byteLength);
}

/** Make a tensor over memory of ours, which must outlive it. */
function tensorOver(
  module: WasmModule,
  type: ElementType,
  shape: readonly number[],
  memory: Pointer,
  size: number,
): Pointer {
  const pointer = withStack(module, () => {
    const place = module.stackAlloc(4 * Math.max(1, shape.length));
    for (const [index, length] of shape.entries()) module.setValue(place + 4 * index, length, "i32");
    return module._OrtCreateTensor(TYPE_NUMBERS[type], memory, size, place, shape.length, ON_CPU);
  });
  check(module, pointer !== 0, "a tensor can't be made");
  return pointer;
}

function readTensor(module: WasmModule, tensor: Pointer): TensorData {
  return withStack(module, () => {
    const place = module.stackAlloc(16);
    const code = module._OrtGetTensorData(tensor, place, place + 4, place + 8, place + 12);
    check(module, code === 0, "a tensor can't be read");
    const type = TYPE_NAMES.get(module.getValue(place, "i32"));
    if (type === undefined)
      throw new BridgeError("bad_model", "the graph gives a type of tensor that is not supported");
    const data = module.getValue(place + 4, "*");
    const shapeAt = module.getValue(place + 8, "*");
    const shape = Array.from({ length: module.getValue(place + 12, "i32") }, (_, axis) =>
      module.getValue(shapeAt + 4 * axis, "i32"),
    );
    module._OrtFree(shapeAt);
    const size = shape.reduce((product, length) => product * length, ELEMENT_SIZES[type]);
    return { type, shape, bytes: heap(module).subarray(data, data + size) };
  });
}
