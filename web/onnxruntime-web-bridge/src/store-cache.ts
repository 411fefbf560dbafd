/**
 * Files in the Cache API: the second choice, for browsers without a usable origin private file system.
 *
 * A response can't be written to, so a file is kept as numbered parts, each a response of its own.
 */

import { browserFree, join, type ModelStore, type StoreWriter } from "./store.ts";

const PART_BYTES = 4 * 1024 * 1024;
// Never fetched; the Cache API wants an http address as a key.
const BASE = "https://onnxruntime-web-bridge.invalid/";

export function cacheStore(name = "onnxruntime-web-bridge"): ModelStore {
  const cache = () => caches.open(name);
  const keyOf = (path: string, part: number) => `${BASE}${path}?part=${part}`;

  async function sizes(path: string): Promise<number[]> {
    const opened = await cache();
    const found: number[] = [];
    for (;;) {
      const response = await opened.match(keyOf(path, found.length));
      if (!response) return found;
      found.push(Number(response.headers.get("x-size")));
    }
  }

  async function put(path: string, part: number, bytes: Uint8Array): Promise<void> {
    const headers = { "x-size": String(bytes.length), "content-type": "application/octet-stream" };
    await (await cache()).put(keyOf(path, part), new Response(bytes.slice(), { headers }));
  }

  async function removeFrom(path: string, part: number): Promise<void> {
    const opened = await cache();
    // From the end, so that what is left after an interruption is still a beginning.
    const count = (await sizes(path)).length;
    for (let index = count - 1; index >= part; index--) await opened.delete(keyOf(path, index));
  }

  async function append(path: string): Promise<StoreWriter> {
    const before = await sizes(path);
    let part = before.length;
    let size = before.reduce((sum, bytes) => sum + bytes, 0);
    let pending: Uint8Array[] = [];
    let pendingSize = 0;

    async function flush(): Promise<void> {
      if (pendingSize === 0) return;
      await put(path, part, join(pending, pendingSize));
      part++;
      pending = [];
      pendingSize = 0;
    }

    return {
      get size() {
        return size;
      },
      async write(chunk) {
        pending.push(chunk.slice());
        pendingSize += chunk.length;
        size += chunk.length;
        if (pendingSize >= PART_BYTES) await flush();
      },
      async clear() {
        pending = [];
        pendingSize = 0;
        size = 0;
        part = 0;
        await removeFrom(path, 0);
      },
      close: flush,
    };
  }

  return {
    name: "cache storage",
    size: async (path) => {
      const parts = await sizes(path);
      return parts.length === 0 ? undefined : parts.reduce((sum, bytes) => sum + bytes, 0);
    },
    async read(path) {
      const opened = await cache();
      const parts: Uint8Array[] = [];
      for (;;) {
        const response = await opened.match(keyOf(path, parts.length));
        if (!response) break;
        parts.push(new Uint8Array(await response.arrayBuffer()));
      }
      if (parts.length === 0) return undefined;
      return join(
        parts,
        parts.reduce((sum, bytes) => sum + bytes.length, 0),
      );
    },
    async write(path, bytes) {
      await removeFrom(path, 0);
      await put(path, 0, bytes);
    },
    append,
    remove: (path) => removeFrom(path, 0),
    async list(prefix) {
      const keys = await (await cache()).keys();
      const paths = keys.map(({ url }) => decodeURI(new URL(url).pathname).slice(1));
      return [...new Set(paths)].filter((path) => path.startsWith(prefix));
    },
    free: browserFree,
  };
}
