/**
 * Measuring a device: what it says of itself, how far a memory can be grown, how fast a small graph runs.
 *
 * It takes about a second and all that is asked of the browser has a time limit. A run of the graph can't be interrupted,
 * and the memory of a module with threads is given back with its worker only: `probe-worker.ts` does it in one of its own.
 */

import {
  choose,
  type DeviceMemory,
  type DeviceProfile,
  type ExecutionProvider,
  type GpuAdapter,
  PROFILE_VERSION,
  type ProbeSpeed,
  safeBytes,
} from "./device-profile.ts";
import { PROBE, probeModel } from "./probe-model.ts";
import { type Graph, type OnnxRuntime, type ThreadScope, usableThreads } from "./runtime.ts";
import { RUNTIME_VERSION } from "./wasm-module.ts";

/** What is looked at of `globalThis`. */
export interface DeviceScope extends ThreadScope {
  readonly navigator?:
    | {
        readonly hardwareConcurrency?: number;
        /** GiB. */
        readonly deviceMemory?: number;
        readonly userAgent?: string;
        readonly gpu?: Gpu | undefined;
      }
    | undefined;
  readonly WebAssembly: Pick<typeof WebAssembly, "validate" | "Memory">;
}

interface Gpu {
  requestAdapter(options: { powerPreference: "high-performance" }): Promise<Adapter | null>;
}

interface Adapter {
  readonly info?: AdapterInfo;
  readonly isFallbackAdapter?: boolean;
  readonly features: { has(name: string): boolean };
  readonly limits: { readonly maxBufferSize: number; readonly maxStorageBufferBindingSize: number };
}

interface AdapterInfo {
  readonly vendor?: string;
  readonly architecture?: string;
  readonly device?: string;
  readonly description?: string;
  readonly isFallbackAdapter?: boolean;
}

/** Each runtime is started once for each number of threads: one that is started keeps its number. */
export interface ProbeParts {
  readonly wasm: () => OnnxRuntime;
  /** A runtime on the graphics processor, if the application has one. */
  readonly webgpu?: (() => OnnxRuntime) | undefined;
  readonly scope?: DeviceScope;
  readonly now?: () => number;
}

const GPU_LIMIT_MS = 1000;
/** No further runtime is started after so long. */
const SPEED_LIMIT_MS = 2500;
const GIB = 2 ** 30;
const ALLOCATION_STEP = GIB / 8;
const PAGE_BYTES = 65536;

/** What a profile holds for. A browser's name is compared here, never understood. */
export function deviceKey(scope: DeviceScope = globalThis): string {
  const { hardwareConcurrency = 1, deviceMemory = 0, userAgent = "" } = scope.navigator ?? {};
  const isolation = usableThreads(2, scope) > 1 || scope.crossOriginIsolated === true ? "isolated" : "plain";
  return [RUNTIME_VERSION, userAgent, isolation, hardwareConcurrency, deviceMemory].join(" | ");
}

/** Measure everything. What can't be measured is left out, never an error. */
export async function measureDevice(parts: ProbeParts): Promise<DeviceProfile> {
  const { scope = globalThis, now = () => performance.now() } = parts;
  const began = now();
  const gpu = await describeGpu(scope.navigator?.gpu);
  const memory = measureMemory(scope);
  const trials = await measureSpeeds(parts, scope, gpu, now);
  const speeds = trials.map(({ speed }) => speed);
  return {
    ...unmeasured(scope),
    took_ms: Math.round(now() - began),
    gpu,
    memory,
    is_noisy: trials.some(({ isNoisy }) => isNoisy),
    speeds,
    ...choose(speeds, usableThreads(undefined, scope)),
  };
}

/** What is known of a device without measuring anything. */
export function unmeasured(scope: DeviceScope = globalThis): DeviceProfile {
  const device_bytes = (scope.navigator?.deviceMemory ?? 0) * GIB || null;
  const safe = safeBytes(device_bytes);
  return {
    version: PROFILE_VERSION,
    key: deviceKey(scope),
    measured_at: Date.now(),
    took_ms: 0,
    is_isolated: scope.crossOriginIsolated === true,
    cores: scope.navigator?.hardwareConcurrency ?? 1,
    has_simd: scope.WebAssembly.validate(SIMD_MODULE),
    gpu: null,
    memory: { device_bytes, allocation_bytes: 0, budget_bytes: safe },
    is_noisy: false,
    speeds: [],
    execution_provider: "wasm",
    threads: usableThreads(undefined, scope),
  };
}

/** A module whose one function makes a vector and counts its bits. */
const SIMD_MODULE = Uint8Array.of(
  ...[0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0],
  ...[10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11],
);

/** Grow a memory step by step up to what is thought safe; nothing of it is written to. */
function measureMemory(scope: DeviceScope): DeviceMemory {
  const { memory } = unmeasured(scope);
  const most = memory.budget_bytes;
  let allocation_bytes = 0;
  try {
    // An empty one first: some browsers refuse a large one that they would have let grow.
    const probe = new scope.WebAssembly.Memory({ initial: 0, maximum: Math.floor(most / PAGE_BYTES) });
    while (allocation_bytes < most) {
      const step = Math.min(ALLOCATION_STEP, most - allocation_bytes);
      probe.grow(Math.floor(step / PAGE_BYTES));
      allocation_bytes += step;
    }
  } catch {
    // This far and no further.
  }
  return { ...memory, allocation_bytes, budget_bytes: Math.min(most, allocation_bytes) };
}

async function describeGpu(gpu: Gpu | undefined): Promise<GpuAdapter | null> {
  const asked = gpu?.requestAdapter({ powerPreference: "high-performance" }).catch(() => null);
  const adapter = await within(GPU_LIMIT_MS, asked ?? Promise.resolve(null));
  if (!adapter) return null;
  const { features, limits } = adapter;
  const info: AdapterInfo = adapter.info ?? {};
  const words = [info.vendor, info.architecture, info.device, info.description];
  const name = words.filter((word) => word !== undefined && word !== "").join(" ");
  const isSaid = info.isFallbackAdapter === true || adapter.isFallbackAdapter === true;
  return {
    name,
    is_fallback: isSaid || /swiftshader|llvmpipe|lavapipe|softpipe|basic render/i.test(name),
    has_float16: features.has("shader-f16"),
    max_buffer_bytes: limits.maxBufferSize,
    max_binding_bytes: limits.maxStorageBufferBindingSize,
  };
}

/** Give what a promise gives, or null when it takes too long. */
async function within<T>(limitMs: number, promise: Promise<T>): Promise<T | null> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<null>((resolve) => {
    timer = setTimeout(() => resolve(null), limitMs);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

async function measureSpeeds(
  { wasm, webgpu }: ProbeParts,
  scope: DeviceScope,
  gpu: GpuAdapter | null,
  now: () => number,
): Promise<Measured[]> {
  const model = probeModel();
  const most = usableThreads(Number.POSITIVE_INFINITY, scope);
  const trials: [ExecutionProvider, () => OnnxRuntime, number][] = [1, 2, 4]
    .filter((threads) => threads <= most)
    .map((threads) => ["wasm", wasm, threads]);
  // One that is a program is slower for sure, and would take seconds to show it.
  if (webgpu && gpu && !gpu.is_fallback) trials.push(["webgpu", webgpu, 1]);
  const measured: Measured[] = [];
  const began = now();
  for (const [execution_provider, start, threads] of trials) {
    if (now() - began > SPEED_LIMIT_MS) break;
    try {
      const { isNoisy, ...speed } = await measureSpeed(start(), model, threads, now);
      measured.push({ speed: { execution_provider, threads, ...speed }, isNoisy });
    } catch {
      // What does not start is not chosen.
    }
  }
  return measured;
}

interface Measured {
  readonly speed: ProbeSpeed;
  readonly isNoisy: boolean;
}

const PREFILL_ROWS = 32;

async function measureSpeed(
  runtime: OnnxRuntime,
  model: Uint8Array,
  threads: number,
  now: () => number,
): Promise<Omit<ProbeSpeed, "execution_provider" | "threads"> & { readonly isNoisy: boolean }> {
  const graph = await runtime.open(model, new Map(), threads, true);
  try {
    const step = await timeRuns(graph, 1, now);
    const prefill = await timeRuns(graph, PREFILL_ROWS, now);
    return {
      tokens_per_second: round(1000 / step.best),
      prefill_tokens_per_second: round((1000 * PREFILL_ROWS) / prefill.best),
      isNoisy: step.median > NOISE * step.best,
    };
  } finally {
    await graph.close();
  }
}

const BLOCKS = 7;
const BLOCK_MS = 16;
/** On a quiet machine the usual block takes at most this many times as long as the best one. */
const NOISE = 1.4;

/**
 * Milliseconds of a run. The best of some blocks counts: others are at work on the machine, and make runs longer, never shorter.
 *
 * A block is several runs, as some browsers' clocks are coarse.
 */
async function timeRuns(
  graph: Graph,
  rows: number,
  now: () => number,
): Promise<{ readonly best: number; readonly median: number }> {
  const bytes = new Uint8Array(new Float32Array(rows * PROBE.width).fill(1).buffer);
  const input = graph.tensor({ type: "float32", shape: [rows, PROBE.width], bytes });
  const run = async () => {
    for (const output of await graph.run(new Map([[PROBE.input, input]]), [PROBE.output])) output.release();
  };
  const times: number[] = [];
  try {
    await run();
    for (let block = 0; block < BLOCKS; block++) {
      const began = now();
      let runs = 0;
      do {
        await run();
        runs++;
      } while (now() - began < BLOCK_MS);
      times.push((now() - began) / runs);
    }
  } finally {
    input.release();
  }
  times.sort((one, other) => one - other);
  return { best: times[0] ?? 0, median: times[BLOCKS >> 1] ?? 0 };
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
