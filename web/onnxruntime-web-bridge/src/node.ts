/** What only Node has: files. Import it as `onnxruntime-web-bridge/node`. */

import { appendFile, mkdir, open, readdir, readFile, rename, rm, stat, truncate, writeFile } from "node:fs/promises";
import { dirname, join, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";
import type { FetchFunction } from "./download.ts";
import type { ModelStore } from "./store.ts";

/** Keep files below a folder, which is made when first needed. */
export function nodeFileStore(folder: string): ModelStore {
  const place = (path: string) => join(folder, ...path.split("/"));
  const size = async (path: string) => (await ifThere(stat(place(path))))?.size;

  return {
    name: "folder",
    size,
    read: async (path) => {
      const buffer = await ifThere(readFile(place(path)));
      return buffer && new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength);
    },
    async write(path, bytes) {
      await mkdir(dirname(place(path)), { recursive: true });
      // Renamed into place, so that another process never reads half of it.
      const draft = `${place(path)}.${process.pid}.${Date.now()}`;
      await writeFile(draft, bytes);
      await rename(draft, place(path));
    },
    async append(path) {
      await mkdir(dirname(place(path)), { recursive: true });
      await (await open(place(path), "a")).close();
      let written = (await size(path)) ?? 0;
      return {
        get size() {
          return written;
        },
        async write(chunk) {
          await appendFile(place(path), chunk);
          written += chunk.length;
        },
        async clear() {
          await truncate(place(path), 0);
          written = 0;
        },
        close: async () => undefined,
      };
    },
    remove: (path) => rm(place(path), { force: true }),
    async list(prefix) {
      const entries = await ifThere(readdir(place(prefix), { recursive: true, withFileTypes: true }));
      const files = (entries ?? []).filter((entry) => entry.isFile());
      return files.map((entry) => relative(folder, join(entry.parentPath, entry.name)).split(sep).join("/"));
    },
    free: async () => undefined,
  };
}

/** `fetch` that also reads `file:` addresses, which Node's own refuses. */
export const fileFetch: FetchFunction = async (url, init) => {
  if (!url.startsWith("file:")) return fetch(url, init);
  const bytes = await ifThere(readFile(fileURLToPath(url)));
  return bytes ? new Response(new Uint8Array(bytes), { status: 200 }) : new Response(null, { status: 404 });
};

async function ifThere<T>(result: Promise<T>): Promise<T | undefined> {
  try {
    return await result;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw error;
  }
}
