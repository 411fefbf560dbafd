/**
 * Python's memory as the build wrote it down (`tooling/snapshot.mjs`), put back into a fresh wasm instance.
 *
 * A snapshot fits one build of Pyodide, which refuses another one by its id, and one set of our wheels, which are
 * compared here. Whoever uses it has another way to start when this one throws.
 */

/** What we use of Pyodide's module; these parts of it are not documented, and the version is pinned. */
export interface WasmModule {
  readonly HEAPU8: Uint8Array;
  readonly API: { restoreSnapshot(bytes: Uint8Array): unknown };
}

export interface Snapshot {
  /** The memory's length in bytes. */
  readonly length: number;
  /** Write the memory, and give what Pyodide wants to know of the objects that Python holds. */
  restore(memory: Uint8Array): unknown;
}

interface Head {
  readonly format: number;
  readonly config: unknown;
  readonly length: number;
  readonly constant: number;
  readonly block: number;
  readonly runs: number;
  readonly wheels: Readonly<Record<string, string>>;
}

const NEWLINE = 10;

/** Read a snapshot's file. Throws when it is none, or was made with other wheels than those of the lock file. */
export function readSnapshot(bytes: Uint8Array, lockFile: string): Snapshot {
  const end = bytes.indexOf(NEWLINE);
  // A copy: the bytes may be shared between workers, and such are not decoded.
  const head = JSON.parse(new TextDecoder().decode(bytes.slice(0, end))) as Head;
  if (head.format !== 1) throw new Error(`a snapshot of format ${head.format} can't be read here`);
  const { packages } = JSON.parse(lockFile) as { packages: Record<string, { sha256: string }> };
  for (const [name, hash] of Object.entries(head.wheels)) {
    if (packages[name]?.sha256 !== hash) throw new Error(`the snapshot was made with another ${name}`);
  }
  const start = end + 1;
  const runs = new Uint32Array(bytes.buffer, bytes.byteOffset + start, head.runs * 2);
  return {
    length: head.length,
    restore(memory) {
      if (memory.length < head.length) throw new Error("there is less memory than the snapshot needs");
      memory.fill(0, head.constant);
      let place = start + runs.byteLength;
      for (let index = 0; index < runs.length; index += 2) {
        const [from = 0, count = 0] = [runs[index], runs[index + 1]];
        const size = count * head.block;
        memory.set(bytes.subarray(place, place + size), from * head.block);
        place += size;
      }
      return head.config;
    },
  };
}
