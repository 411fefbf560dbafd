/**
 * What a device can do, and what follows from it: values and decisions. `device-probe.ts` measures.
 *
 * The fields are written as they are stored and sent, as JSON.
 */

import { BridgeError } from "./errors.ts";
import type { ModelManifest } from "./manifest.ts";

export const PROFILE_VERSION = 1;

export type ExecutionProvider = "wasm" | "webgpu";

/** A graphics processor as WebGPU shows it. */
export interface GpuAdapter {
  readonly name: string;
  /** A program that plays one: correct, and slower than WebAssembly. */
  readonly is_fallback: boolean;
  readonly has_float16: boolean;
  readonly max_buffer_bytes: number;
  readonly max_binding_bytes: number;
}

/** How fast the probe's graph ran. */
export interface ProbeSpeed {
  readonly execution_provider: ExecutionProvider;
  readonly threads: number;
  /** One token at a time, and many at once. */
  readonly tokens_per_second: number;
  readonly prefill_tokens_per_second: number;
}

export interface DeviceMemory {
  /** What the browser says the device has, rounded and capped by it; null where it does not say. */
  readonly device_bytes: number | null;
  /** How far one WebAssembly memory could be grown; nobody tried further than what is thought safe to use. */
  readonly allocation_bytes: number;
  /** What all open models together may take. */
  readonly budget_bytes: number;
}

export interface DeviceProfile {
  readonly version: typeof PROFILE_VERSION;
  /** What the figures hold for: another browser, runtime, or isolation is measured anew. */
  readonly key: string;
  /** Milliseconds since 1970, and how long it took. */
  readonly measured_at: number;
  readonly took_ms: number;
  readonly is_isolated: boolean;
  readonly cores: number;
  readonly has_simd: boolean;
  readonly gpu: GpuAdapter | null;
  readonly memory: DeviceMemory;
  /** Whether something else kept the device busy meanwhile: more threads look worse then than they are. */
  readonly is_noisy: boolean;
  /** Empty when the time ran out before anything was measured. */
  readonly speeds: readonly ProbeSpeed[];
  /** What is used unless the caller says otherwise. */
  readonly execution_provider: ExecutionProvider;
  readonly threads: number;
}

const GIB = 2 ** 30;
/** A quarter of the device: the page, the rest of the browser and all other programs want theirs. */
const SHARE_OF_DEVICE = 0.25;
/** Of a device that says nothing of itself: what tabs on phones were seen to be given. */
const UNKNOWN_DEVICE_BYTES = GIB;
/** Half of what a 32-bit WebAssembly memory can be; the weights are in JavaScript's memory too while a model loads. */
const MOST_BYTES = 2 * GIB;

/** The most that models may take by what the device says of itself, before anything was tried. */
export function safeBytes(device_bytes: number | null): number {
  const safe = device_bytes === null ? UNKNOWN_DEVICE_BYTES : device_bytes * SHARE_OF_DEVICE;
  return Math.min(MOST_BYTES, safe);
}

/** Threads wait for each other after each node and take cores from the page: what they gain must be worth it. */
const LEAST_GAIN_OF_THREADS = 1.15;
/** A graph that fits the probe may still meet an operator without a kernel there. */
const LEAST_GAIN_OF_GPU = 1.25;

/**
 * Choose by what was measured: the fewest threads that are not clearly slower than more, WebGPU only where it is clearly
 * faster than that. `threads` is for when nothing was measured.
 */
export function choose(
  speeds: readonly ProbeSpeed[],
  threads: number,
): { readonly execution_provider: ExecutionProvider; readonly threads: number } {
  const onWasm = speeds.filter(({ execution_provider }) => execution_provider === "wasm");
  const [least, ...more] = onWasm.sort((one, other) => one.threads - other.threads);
  if (!least) return { execution_provider: "wasm", threads };
  const best = more.reduce(
    (chosen, speed) => (speed.tokens_per_second >= chosen.tokens_per_second * LEAST_GAIN_OF_THREADS ? speed : chosen),
    least,
  );
  const gpu = speeds.find(({ execution_provider }) => execution_provider === "webgpu");
  const isFaster = gpu !== undefined && gpu.tokens_per_second >= best.tokens_per_second * LEAST_GAIN_OF_GPU;
  return { execution_provider: isFaster ? "webgpu" : "wasm", threads: best.threads };
}

/** What a loaded model takes: what its manifest says, else at least its files and what they are expanded to. */
export function neededBytes({ memory_bytes, files, graph }: ModelManifest): number {
  const least = files.reduce((sum, file) => sum + file.size_bytes, graph.expand?.size_bytes ?? 0);
  return memory_bytes > 0 ? memory_bytes : least;
}

/** Throw `too_big` when a model does not fit beside those that are open, with the numbers in `details`. */
export function requireMemory(manifest: ModelManifest, profile: DeviceProfile, open: readonly ModelManifest[]): void {
  const needed = neededBytes(manifest);
  const taken = open.reduce((sum, other) => sum + neededBytes(other), 0);
  const available = Math.max(0, profile.memory.budget_bytes - taken);
  if (needed <= available) return;
  const beside = taken === 0 ? "" : ` beside the ${megabytes(taken)} of open models`;
  throw new BridgeError(
    "too_big",
    `${manifest.id} needs ${megabytes(needed)} of memory, this device gives ${megabytes(available)}${beside}`,
    { needed, available },
  );
}

function megabytes(bytes: number): string {
  return `${Math.round(bytes / 1e6)} MB`;
}

/** Give the profile in a JSON text if it is one, of this version and for this key. */
export function parseProfile(text: string, key: string): DeviceProfile | undefined {
  try {
    const value = JSON.parse(text) as DeviceProfile;
    // Written by us and by nobody else: the version says that the rest is as it should be.
    return value.version === PROFILE_VERSION && value.key === key ? value : undefined;
  } catch {
    return undefined;
  }
}
