/**
 * Files in the origin private file system: the first choice in a browser.
 *
 * In a worker they are written through sync access handles, in place, so a download that is cut off by a crash can be
 * taken up again. On a page `createWritable` must be used, which keeps nothing before it is closed.
 */

import { browserFree, type ModelStore, type StoreWriter } from "./store.ts";

/** TypeScript 7.0 has these in the library for workers only. */
interface SyncAccessHandle {
  write(bytes: Uint8Array, options: { at: number }): number;
  truncate(size: number): void;
  getSize(): number;
  flush(): void;
  close(): void;
}

interface WorkerFileHandle extends FileSystemFileHandle {
  createSyncAccessHandle?(): Promise<SyncAccessHandle>;
}

export function opfsStore(folder = "onnxruntime-web-bridge"): ModelStore {
  const root = async () => (await navigator.storage.getDirectory()).getDirectoryHandle(folder, { create: true });

  async function parent(path: string, create: boolean): Promise<[FileSystemDirectoryHandle, string]> {
    const parts = path.split("/");
    const name = parts.pop() ?? "";
    let directory = await root();
    for (const part of parts) directory = await directory.getDirectoryHandle(part, { create });
    return [directory, name];
  }

  async function handle(path: string): Promise<WorkerFileHandle> {
    const [directory, name] = await parent(path, true);
    return directory.getFileHandle(name, { create: true });
  }

  async function file(path: string): Promise<File | undefined> {
    return ifThere(async () => {
      const [directory, name] = await parent(path, false);
      return (await directory.getFileHandle(name)).getFile();
    });
  }

  async function append(path: string): Promise<StoreWriter> {
    const found = await handle(path);
    return found.createSyncAccessHandle ? syncWriter(await found.createSyncAccessHandle()) : streamWriter(found);
  }

  return {
    name: "origin private file system",
    size: async (path) => (await file(path))?.size,
    read: async (path) => {
      const found = await file(path);
      return found && new Uint8Array(await found.arrayBuffer());
    },
    async write(path, bytes) {
      const writer = await append(path);
      try {
        await writer.clear();
        await writer.write(bytes);
      } finally {
        await writer.close();
      }
    },
    append,
    async remove(path) {
      await ifThere(async () => {
        const [directory, name] = await parent(path, false);
        await directory.removeEntry(name);
      });
    },
    async list(prefix) {
      const paths = await ifThere(async () => {
        const [directory] = await parent(prefix, false);
        return walk(directory, prefix);
      });
      return paths ?? [];
    },
    free: browserFree,
  };
}

function syncWriter(access: SyncAccessHandle): StoreWriter {
  let size = access.getSize();
  return {
    get size() {
      return size;
    },
    async write(chunk) {
      let written = 0;
      while (written < chunk.length) {
        const count = access.write(chunk.subarray(written), { at: size });
        if (count <= 0) throw new DOMException("the disk took no more bytes", "QuotaExceededError");
        written += count;
        size += count;
      }
    },
    async clear() {
      access.truncate(0);
      size = 0;
    },
    async close() {
      access.flush();
      access.close();
    },
  };
}

async function streamWriter(handle: FileSystemFileHandle): Promise<StoreWriter> {
  let size = (await handle.getFile()).size;
  const stream = await handle.createWritable({ keepExistingData: true });
  return {
    get size() {
      return size;
    },
    async write(chunk) {
      // A view of a shared buffer is refused by the types and by the stream; ours come from `fetch` and are not shared.
      await stream.write({ type: "write", position: size, data: chunk as Uint8Array<ArrayBuffer> });
      size += chunk.length;
    },
    async clear() {
      await stream.truncate(0);
      size = 0;
    },
    close: () => stream.close(),
  };
}

async function walk(directory: FileSystemDirectoryHandle, prefix: string): Promise<string[]> {
  const paths: string[] = [];
  for await (const [name, entry] of directory.entries()) {
    if (entry.kind === "file") paths.push(prefix + name);
    else paths.push(...(await walk(entry as FileSystemDirectoryHandle, `${prefix}${name}/`)));
  }
  return paths;
}

async function ifThere<T>(use: () => Promise<T>): Promise<T | undefined> {
  try {
    return await use();
  } catch (error) {
    if (error instanceof DOMException && error.name === "NotFoundError") return undefined;
    throw error;
  }
}
