/** Where model files are kept between two visits. One interface; which implementation is used is the caller's choice. */

export interface ModelStore {
  /** For messages: what kind of store this is. */
  readonly name: string;
  /** Bytes of a file, also of one that is half there; undefined when there is none. */
  size(path: string): Promise<number | undefined>;
  read(path: string): Promise<Uint8Array | undefined>;
  /** Write a whole file. */
  write(path: string, bytes: Uint8Array): Promise<void>;
  /** Open a file for writing at its end. At most one writer a file; what was written stays when the writer is closed. */
  append(path: string): Promise<StoreWriter>;
  /** A missing file is not an error. */
  remove(path: string): Promise<void>;
  /** Paths that begin with `prefix`, a path ending with `/`. */
  list(prefix: string): Promise<string[]>;
  /** Bytes that may still be written, or undefined when nobody knows. */
  free(): Promise<number | undefined>;
}

export interface StoreWriter {
  /** Bytes in the file now. */
  readonly size: number;
  /** Throws an error named `QuotaExceededError`, or a `quota` BridgeError, when there is no room. */
  write(chunk: Uint8Array): Promise<void>;
  /** Begin again at the start. */
  clear(): Promise<void>;
  close(): Promise<void>;
}

/** Keeps files until the page or process ends: for tests, and where nothing else is allowed. */
export function memoryStore(limit_bytes = Number.POSITIVE_INFINITY): ModelStore {
  const files = new Map<string, Uint8Array[]>();
  const sizeOf = (chunks: readonly Uint8Array[]) => chunks.reduce((sum, chunk) => sum + chunk.length, 0);
  const used = () => [...files.values()].reduce((sum, chunks) => sum + sizeOf(chunks), 0);

  function put(path: string, chunks: Uint8Array[], added: Uint8Array): void {
    if (used() + added.length > limit_bytes) throw new DOMException("the store is full", "QuotaExceededError");
    files.set(path, [...chunks, added.slice()]);
  }

  return {
    name: "memory",
    size: async (path) => {
      const chunks = files.get(path);
      return chunks && sizeOf(chunks);
    },
    read: async (path) => {
      const chunks = files.get(path);
      return chunks && join(chunks, sizeOf(chunks));
    },
    write: async (path, bytes) => {
      files.delete(path);
      put(path, [], bytes);
    },
    append: async (path) => ({
      get size() {
        return sizeOf(files.get(path) ?? []);
      },
      write: async (chunk) => put(path, files.get(path) ?? [], chunk),
      clear: async () => void files.delete(path),
      close: async () => undefined,
    }),
    remove: async (path) => void files.delete(path),
    list: async (prefix) => [...files.keys()].filter((path) => path.startsWith(prefix)),
    free: async () => (Number.isFinite(limit_bytes) ? limit_bytes - used() : undefined),
  };
}

/** Put pieces together; `size` is their sum. */
export function join(chunks: readonly Uint8Array[], size: number): Uint8Array {
  const bytes = new Uint8Array(size);
  let offset = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, offset);
    offset += chunk.length;
  }
  return bytes;
}

/** What the browser says is left for this origin. */
export async function browserFree(): Promise<number | undefined> {
  const { quota, usage } = (await navigator.storage?.estimate?.()) ?? {};
  return quota === undefined || usage === undefined ? undefined : quota - usage;
}

/** What a store is and how full. Numbers are of everything that the browser keeps for this origin; null: nobody knows. */
export interface StorageState {
  readonly store: string;
  readonly usage_bytes: number | null;
  readonly quota_bytes: number | null;
  /** Whether the browser promised not to clear it when room gets short. A page asks for that (`requestPersistence`). */
  readonly is_persisted: boolean;
}

export async function storageState(store: ModelStore): Promise<StorageState> {
  const manager = globalThis.navigator?.storage;
  const { usage, quota } = (await manager?.estimate?.().catch(() => undefined)) ?? {};
  const is_persisted = (await manager?.persisted?.().catch(() => false)) ?? false;
  return { store: store.name, usage_bytes: usage ?? null, quota_bytes: quota ?? null, is_persisted };
}

/**
 * Ask the browser to keep what is stored here until the user deletes it. For pages: workers can't ask.
 *
 * Some browsers decide by themselves, some ask the user, so call it when the user has just wanted something to be kept.
 */
export async function requestPersistence(): Promise<boolean> {
  const manager = globalThis.navigator?.storage;
  return (await manager?.persist?.().catch(() => false)) ?? false;
}
