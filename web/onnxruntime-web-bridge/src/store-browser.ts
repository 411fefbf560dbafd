/** The best store that this browser lets us use, found by using it: private windows have the interfaces but refuse them. */

import { type ModelStore, memoryStore } from "./store.ts";
import { cacheStore } from "./store-cache.ts";
import { opfsStore } from "./store-opfs.ts";

/** Origin private file system, else Cache API, else memory; chosen when it is first used. */
export function browserStore(name = "onnxruntime-web-bridge"): ModelStore {
  let found: Promise<ModelStore> | undefined;
  let chosen: ModelStore | undefined;

  const store = async () => {
    found ??= chooseStore(name);
    chosen = await found;
    return chosen;
  };

  return {
    get name() {
      return chosen?.name ?? "browser storage";
    },
    size: async (path) => (await store()).size(path),
    read: async (path) => (await store()).read(path),
    write: async (path, bytes) => (await store()).write(path, bytes),
    append: async (path) => (await store()).append(path),
    remove: async (path) => (await store()).remove(path),
    list: async (prefix) => (await store()).list(prefix),
    free: async () => (await store()).free(),
  };
}

async function chooseStore(name: string): Promise<ModelStore> {
  for (const make of [opfsStore, cacheStore]) {
    const store = make(name);
    if (await isUsable(store)) return store;
  }
  return memoryStore();
}

async function isUsable(store: ModelStore): Promise<boolean> {
  // A name of its own: two tabs may try at the same moment, and a file has one writer.
  const path = `probe/${Math.random().toString(36).slice(2)}`;
  try {
    await store.write(path, new Uint8Array([1]));
    return (await store.size(path)) === 1;
  } catch {
    return false;
  } finally {
    await store.remove(path).catch(() => undefined);
  }
}
