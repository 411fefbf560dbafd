/**
 * The part of onnxruntime-web's plain wasm module that we call, and the few helpers that make its C interface bearable.
 *
 * The module is the public export `onnxruntime-web/ort-wasm-simd-threaded.mjs`; what it exports with an underscore is
 * not documented. The names and the order of arguments are those of `lib/wasm/wasm-core-impl.ts` in onnxruntime-web
 * 1.30.0 (MIT), to which this package is pinned for that reason.
 */

import { BridgeError, toBridgeError } from "./errors.ts";

/** The version of onnxruntime-web that this package drives. */
export const RUNTIME_VERSION = "1.30.0";

/** An address in the module's heap. 0 is none. */
export type Pointer = number;

export interface WasmModule {
  readonly HEAPU8: Uint8Array;
  _malloc(size: number): Pointer;
  _free(pointer: Pointer): void;
  stackSave(): Pointer;
  stackAlloc(size: number): Pointer;
  stackRestore(stack: Pointer): void;
  getValue(pointer: Pointer, type: "i32" | "*"): number;
  setValue(pointer: Pointer, value: number, type: "i32" | "*"): void;
  UTF8ToString(pointer: Pointer): string;
  stringToUTF8(text: string, pointer: Pointer, size: number): void;
  lengthBytesUTF8(text: string): number;
  mountExternalData?(path: string, data: Uint8Array): void;
  unmountExternalData?(): void;
  _OrtInit(threads: number, logLevel: number): number;
  _OrtGetLastError(code: Pointer, message: Pointer): number;
  _OrtFree(pointer: Pointer): number;
  _OrtCreateSessionOptions(
    optimisation: number,
    useArena: boolean,
    useMemoryPattern: boolean,
    executionMode: number,
    isProfiled: boolean,
    profilePrefix: Pointer,
    logId: Pointer,
    logSeverity: number,
    logVerbosity: number,
    optimisedModelPath: Pointer,
  ): Pointer;
  _OrtAddSessionConfigEntry(options: Pointer, key: Pointer, value: Pointer): number;
  _OrtReleaseSessionOptions(options: Pointer): number;
  _OrtCreateSession(model: Pointer, size: number, options: Pointer): Promise<Pointer> | Pointer;
  _OrtReleaseSession(session: Pointer): number;
  _OrtGetInputOutputCount(session: Pointer, inputs: Pointer, outputs: Pointer): number;
  _OrtGetInputOutputMetadata(session: Pointer, index: number, name: Pointer, metadata: Pointer): number;
  _OrtCreateTensor(type: number, data: Pointer, size: number, shape: Pointer, rank: number, location: number): Pointer;
  _OrtGetTensorData(tensor: Pointer, type: Pointer, data: Pointer, shape: Pointer, rank: Pointer): number;
  _OrtReleaseTensor(tensor: Pointer): number;
  _OrtCreateRunOptions(logSeverity: number, logVerbosity: number, isTerminated: boolean, tag: Pointer): Pointer;
  _OrtReleaseRunOptions(options: Pointer): number;
  _OrtRun(
    session: Pointer,
    inputNames: Pointer,
    inputs: Pointer,
    inputCount: number,
    outputNames: Pointer,
    outputCount: number,
    outputs: Pointer,
    options: Pointer,
  ): Promise<number> | number;
}

export interface WasmModuleSettings {
  readonly numThreads: number;
  readonly locateFile?: (name: string) => string;
  readonly wasmBinary?: ArrayBuffer | Uint8Array;
}

export type WasmModuleFactory = (settings: WasmModuleSettings) => Promise<WasmModule>;

/** Throw what the runtime says about its last failure unless `isGood`. */
export function check(module: WasmModule, isGood: boolean, doing: string): void {
  if (isGood) return;
  const message = withStack(module, () => {
    const place = module.stackAlloc(8);
    module._OrtGetLastError(place, place + 4);
    const text = module.getValue(place + 4, "*");
    return text === 0 ? "no reason given" : module.UTF8ToString(text);
  });
  throw toBridgeError(new Error(message), "bad_model", doing);
}

/** Undo what `use` took with `stackAlloc`. `use` must not await. */
export function withStack<T>(module: WasmModule, use: () => T): T {
  const stack = module.stackSave();
  try {
    return use();
  } finally {
    module.stackRestore(stack);
  }
}

/** Copy bytes into the heap; the caller frees them. */
export function allocate(module: WasmModule, bytes: Uint8Array): Pointer {
  const pointer = module._malloc(Math.max(1, bytes.byteLength));
  if (pointer === 0) throw noRoom(bytes.byteLength);
  heap(module).set(bytes, pointer);
  return pointer;
}

export function noRoom(needed: number): BridgeError {
  return new BridgeError("out_of_memory", `no room for ${needed} bytes in WebAssembly memory`, { needed });
}

/** Copy a text into the heap; the caller frees it. */
export function allocateText(module: WasmModule, text: string): Pointer {
  const size = module.lengthBytesUTF8(text) + 1;
  const pointer = module._malloc(size);
  module.stringToUTF8(text, pointer, size);
  return pointer;
}

/** The whole heap as it is now: a view gets stale when memory grows. */
export function heap(module: WasmModule): Uint8Array {
  // `HEAPU8` is renewed by the accessors of the module, not by growth itself (another thread may have grown it).
  module.getValue(8, "i32");
  return module.HEAPU8;
}
