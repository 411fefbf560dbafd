/**
 * Snapshots as bytes, and the few of them that a store keeps for each model.
 *
 * Layout (version 1, little-endian): uint32 size of the header, header as UTF-8 JSON, then the tensors and the logits,
 * each beginning at a multiple of 8 counted from the start.
 */

import { ELEMENT_SIZES, type ElementType, type ModelManifest, type StateSlot } from "./manifest.ts";
import type { Tensor, TensorData } from "./runtime.ts";
import type { ModelStore } from "./store.ts";

const VERSION = 1;

/** How many snapshots of one model a store keeps; the one used longest ago goes first. */
export const SNAPSHOTS_IN_STORE = 8;
/** And how many bytes they may take, unless a single one is larger: 1,000 tokens of a small model are 46 MB. */
export const SNAPSHOT_BYTES_IN_STORE = 256e6;

export interface SnapshotFiles {
  save(key: string, bytes: Uint8Array): Promise<void>;
  load(key: string): Promise<Uint8Array | undefined>;
}

interface Encodable {
  readonly tensors: ReadonlyMap<string, Pick<Tensor, "data">>;
  readonly length: number;
  readonly logits: Float32Array | undefined;
  readonly scalars: Readonly<Record<string, number>>;
}

export interface Decoded {
  readonly tensors: ReadonlyMap<string, TensorData>;
  readonly length: number;
  readonly logits: Float32Array | undefined;
  readonly scalars: Readonly<Record<string, number>>;
}

interface Header {
  readonly version: number;
  /** Of everything, so that a file which was cut off is seen. */
  readonly size_bytes: number;
  readonly length: number;
  readonly scalars: Readonly<Record<string, number>>;
  readonly logits: number;
  readonly tensors: readonly {
    readonly input: string;
    readonly type: ElementType;
    readonly shape: readonly number[];
  }[];
}

export function encodeState(state: Encodable): Uint8Array {
  const named = [...state.tensors].map(([input, tensor]) => [input, tensor] as const);
  const shapes = named.map(([input, tensor]) => {
    const { type, shape } = tensor.data();
    return { input, type, shape };
  });
  const sizes = [...shapes.map(sizeOf), (state.logits?.length ?? 0) * 4];
  const fields = {
    version: VERSION,
    length: state.length,
    scalars: state.scalars,
    logits: state.logits?.length ?? 0,
    tensors: shapes,
  };
  const bodySize = sizes.reduce((sum, size) => sum + align(size), 0);
  // The total stands inside what it counts; a fixed number of digits keeps it from moving.
  const draft = JSON.stringify({ ...fields, size_bytes: 1e15 });
  const start = align(4 + new TextEncoder().encode(draft).length);
  const header = JSON.stringify({ ...fields, size_bytes: start + bodySize });
  const bytes = new Uint8Array(start + bodySize);
  const text = new TextEncoder().encode(header.padEnd(draft.length));
  new DataView(bytes.buffer).setUint32(0, text.length, true);
  bytes.set(text, 4);
  let offset = start;
  for (const [index, [, tensor]] of named.entries()) {
    // Read again at each copy: a view of the runtime's memory is good until its next call.
    bytes.set(tensor.data().bytes, offset);
    offset += align(sizes[index] as number);
  }
  if (state.logits) new Float32Array(bytes.buffer, offset, state.logits.length).set(state.logits);
  return bytes;
}

/** Give the state in `bytes`, or nothing if it is damaged, of another version, or of another graph than the manifest's. */
export function decodeState(bytes: Uint8Array, manifest: ModelManifest): Decoded | undefined {
  try {
    return decode(bytes, manifest);
  } catch {
    return undefined;
  }
}

function decode(source: Uint8Array, manifest: ModelManifest): Decoded | undefined {
  // A copy begins at 0, as the views below need it.
  const bytes = source.byteOffset % 8 === 0 ? source : source.slice();
  const size = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + size))) as Header;
  if (header.version !== VERSION || header.size_bytes !== bytes.length) return undefined;
  const slots = manifest.graph.state;
  if (header.tensors.length !== slots.length || (header.logits !== 0 && header.logits !== manifest.vocab_size)) {
    return undefined;
  }
  let offset = align(4 + size);
  const tensors = new Map<string, TensorData>();
  for (const { input, type, shape } of header.tensors) {
    const slot = slots.find((candidate) => candidate.input === input);
    if (!slot || !fits(slot, type, shape)) return undefined;
    const length = sizeOf({ type, shape });
    tensors.set(input, { type, shape, bytes: bytes.subarray(offset, offset + length) });
    offset += align(length);
  }
  const { length, scalars } = header;
  const logits =
    header.logits === 0 ? undefined : new Float32Array(bytes.buffer, bytes.byteOffset + offset, header.logits).slice();
  return { tensors, length, logits, scalars };
}

function fits(slot: StateSlot, type: ElementType, shape: readonly number[]): boolean {
  return type === slot.type && shape.length === slot.shape.length;
}

function sizeOf({ type, shape }: { readonly type: ElementType; readonly shape: readonly number[] }): number {
  return shape.reduce((product, length) => product * length, ELEMENT_SIZES[type]);
}

function align(size: number): number {
  return (size + 7) & ~7;
}

/**
 * Keep the snapshots of one model in a store.
 *
 * A file's name is made from the graph's hash and the key's, so a new model never sees the states of an old one.
 */
export function snapshotFiles(store: ModelStore, manifest: ModelManifest): SnapshotFiles {
  const folder = `${snapshotFolder(manifest)}/`;
  const index = `${folder}index`;
  let last: Promise<unknown> = Promise.resolve();

  async function order(): Promise<readonly string[]> {
    const bytes = await store.read(index);
    const names: unknown = bytes === undefined ? [] : JSON.parse(new TextDecoder().decode(bytes));
    return Array.isArray(names) ? names.filter((name) => typeof name === "string") : [];
  }

  /** Note that `used` was used last, and remove what is one too many or unknown. */
  async function touch(used: string): Promise<void> {
    const before = await order().catch(() => []);
    const recent = [...before.filter((name) => name !== used), used].slice(-SNAPSHOTS_IN_STORE);
    const names: string[] = [];
    let total = 0;
    for (const name of recent.reverse()) {
      total += (await store.size(folder + name)) ?? 0;
      if (names.length > 0 && total > SNAPSHOT_BYTES_IN_STORE) break;
      names.unshift(name);
    }
    await store.write(index, new TextEncoder().encode(JSON.stringify(names)));
    for (const path of await store.list(folder)) {
      if (path !== index && !names.includes(path.slice(folder.length))) await store.remove(path);
    }
  }

  function inTurn<T>(use: () => Promise<T>): Promise<T> {
    const result = last.then(use);
    last = result.catch(() => undefined);
    return result;
  }

  return {
    save: (key, bytes) =>
      inTurn(async () => {
        const name = await hashText(key);
        await store.write(folder + name, bytes);
        await touch(name);
      }),
    load: (key) =>
      inTurn(async () => {
        const name = await hashText(key);
        const bytes = await store.read(folder + name);
        if (bytes !== undefined) await touch(name).catch(() => undefined);
        return bytes;
      }),
  };
}

/** Where the snapshots of a model lie. The hash is of what decides on the state: graph and weights. */
export function snapshotFolder(manifest: ModelManifest): string {
  const parts = [manifest.graph.file, ...manifest.graph.external_data];
  const hashes = manifest.files.filter((file) => parts.includes(file.name)).map((file) => file.sha256.slice(0, 16));
  return `snapshots/${VERSION}-${hashes.sort().join("-")}`;
}

export async function hashText(text: string): Promise<string> {
  return toHex(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)));
}

export function toHex(buffer: ArrayBuffer): string {
  return Array.from(new Uint8Array(buffer), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
