/** Bytes by key, for Python's `Storage`: in IndexedDB where there is one. */

export interface HostStorage {
  /** Undefined when there is no such key: Python sees it as `None`, which null is not. */
  get(key: string): Promise<Uint8Array | undefined>;
  put(key: string, value: Uint8Array): Promise<void>;
  delete(key: string): Promise<void>;
  /** The keys that start with `prefix`, sorted, as a JSON list. */
  keys(prefix: string): Promise<string>;
}

const STORE = "values";
/** What brings a database from each version to the next; the first makes it. Append to it, change nothing in it. */
const MIGRATIONS: readonly ((database: IDBDatabase) => void)[] = [
  (database) => {
    database.createObjectStore(STORE);
  },
];

/** Keep values in the IndexedDB database `name`; it is opened at the first use. */
export function createIndexedDbStorage(name: string, factory: IDBFactory): HostStorage {
  let opened: Promise<IDBDatabase> | null = null;

  function open(): Promise<IDBDatabase> {
    opened ??= new Promise<IDBDatabase>((resolve, reject) => {
      const request = factory.open(name, MIGRATIONS.length);
      request.onupgradeneeded = ({ oldVersion }) => {
        for (const migrate of MIGRATIONS.slice(oldVersion)) migrate(request.result);
      };
      // Made by a newer version of the page: a `VersionError`, and nothing in it is touched.
      request.onerror = () => reject(plain(request.error, "the store can't be opened"));
      request.onblocked = () => reject(new Error("another tab holds an older version of the store"));
      request.onsuccess = () => {
        // Another tab wants a newer version, or the user cleared the site's data: let go, and open again when needed.
        const database = request.result;
        const forget = () => {
          opened = null;
        };
        database.onclose = forget;
        database.onversionchange = () => {
          database.close();
          forget();
        };
        resolve(database);
      };
    }).catch((error: unknown) => {
      opened = null;
      throw error;
    });
    return opened;
  }

  /** Run one request in a transaction of its own and wait until the transaction is on disk. */
  async function transact<T>(mode: IDBTransactionMode, ask: (store: IDBObjectStore) => IDBRequest<T>): Promise<T> {
    const database = await open();
    return new Promise<T>((resolve, reject) => {
      const transaction = database.transaction(STORE, mode);
      const request = ask(transaction.objectStore(STORE));
      transaction.oncomplete = () => resolve(request.result);
      transaction.onabort = () => reject(plain(transaction.error, "the transaction was aborted"));
      // The transaction has no error of its own before it is aborted.
      transaction.onerror = () => reject(plain(request.error ?? transaction.error, "the request failed"));
    });
  }

  return {
    async get(key) {
      const value: unknown = await transact("readonly", (store) => store.get(key));
      return value instanceof Uint8Array ? value : undefined;
    },
    async put(key, value) {
      // Python's memory is a view of the whole wasm heap: store these bytes, not the buffer behind them.
      const copy = value.slice();
      await transact("readwrite", (store) => store.put(copy, key));
    },
    async delete(key) {
      await transact("readwrite", (store) => store.delete(key));
    },
    async keys(prefix) {
      const keys = await transact("readonly", (store) => store.getAllKeys(IDBKeyRange.lowerBound(prefix)));
      return JSON.stringify(keys.filter((key) => typeof key === "string" && key.startsWith(prefix)));
    },
  };
}

/**
 * An error that Python can be given: Pyodide 314.0.7 takes neither null nor Chromium's `QuotaExceededError`, which is no
 * `DOMException` by its tag, and what waits for the promise would never hear of it.
 */
function plain(error: DOMException | null, message: string): Error {
  const copy = new Error(error?.message || message);
  copy.name = error?.name ?? "Error";
  return copy;
}

/** Keep values in memory, for hosts without a store. */
export function createMemoryStorage(): HostStorage {
  const values = new Map<string, Uint8Array>();
  return {
    get: async (key) => values.get(key),
    put: async (key, value) => {
      values.set(key, value.slice());
    },
    delete: async (key) => {
      values.delete(key);
    },
    keys: async (prefix) => JSON.stringify([...values.keys()].filter((key) => key.startsWith(prefix)).sort()),
  };
}
