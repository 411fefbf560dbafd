/**
 * The seam to ONNX Runtime: open a graph, run it over tensors that stay on its side.
 *
 * There are two implementations. `wasmRuntime` drives the plain wasm module itself and leaves every tensor in its heap;
 * `apiRuntime` uses the documented JavaScript API, which copies all of them in and out at each run.
 */

import type { ElementType } from "./manifest.ts";

export interface TensorData {
  readonly type: ElementType;
  readonly shape: readonly number[];
  /** Little-endian, rows first. */
  readonly bytes: Uint8Array;
}

/** An immutable tensor of one graph. */
export interface Tensor {
  /** Its contents. `bytes` may be a view of the runtime's own memory: copy it before anything else is called. */
  data(): TensorData;
  /** Give back its memory; harmless when called twice. */
  release(): void;
}

/** A tensor whose contents may be written over. */
export interface Room extends Tensor {
  /** Put bytes at an offset in bytes. Nothing is allocated: a view that another tensor gave stays good. */
  write(offset: number, bytes: Uint8Array): void;
}

export interface Graph {
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  /** Make a tensor of a copy of `data`. */
  tensor(data: TensorData): Tensor;
  /** Make a tensor with anything in it. */
  room(type: ElementType, shape: readonly number[]): Room;
  /**
   * Make a tensor of the rows of `base` followed by `rows` (axis 0), without changing either.
   *
   * Cheap if `base` is the newest of its line: both then share memory, and only the new rows are copied.
   */
  append(base: Tensor, rows: Tensor): Tensor;
  /**
   * Run once. The caller owns the tensors that come back, in the order of `outputs`.
   *
   * Further outputs go into `places`; a tensor there may be an input as well, if the graph's operators can do with it.
   */
  run(
    inputs: ReadonlyMap<string, Tensor>,
    outputs: readonly string[],
    places?: ReadonlyMap<string, Room>,
  ): Promise<readonly Tensor[]>;
  /** Give back all memory. The tensors must have been released. Harmless when called twice. */
  close(): Promise<void>;
}

export interface OnnxRuntime {
  /** Begin with what `open` will need, while the files are still read; what fails here fails there again. */
  prepare?(threads: number): void;
  /**
   * Open a model. `external` holds files with further weights by the name which the model uses for them. When it is
   * optimised already, no time is spent on looking for more.
   */
  open(
    model: Uint8Array,
    external: ReadonlyMap<string, Uint8Array>,
    threads: number,
    isOptimised?: boolean,
  ): Promise<Graph>;
}

/** Room to grow by half: appending one row at a time copies each row about three times in all. */
export function grownCapacity(size_bytes: number): number {
  return size_bytes + (size_bytes >> 1) + 4096;
}

/**
 * How many threads may run: what is asked for, at most one a core, and one where memory can't be shared.
 *
 * When nothing is asked for, 4 or fewer that leave one core free: the threads wait for each other after each node of the
 * graph, so where one of them has to share its core with the page, two were slower than one (README.md).
 * A page shares memory only when it is cross-origin isolated (COOP and COEP headers); Node always does.
 */
export function usableThreads(requested: number | undefined, scope: ThreadScope = globalThis): number {
  const isIsolated = scope.crossOriginIsolated ?? scope.process?.versions?.node !== undefined;
  if (!isIsolated || scope.SharedArrayBuffer === undefined) return 1;
  const cores = scope.navigator?.hardwareConcurrency ?? 1;
  return Math.max(1, Math.min(requested ?? Math.min(4, cores - 1), cores));
}

export interface ThreadScope {
  readonly crossOriginIsolated?: boolean | undefined;
  readonly SharedArrayBuffer?: unknown;
  readonly navigator?: { readonly hardwareConcurrency?: number } | undefined;
  readonly process?: { readonly versions?: Readonly<Record<string, string | undefined>> } | undefined;
}
