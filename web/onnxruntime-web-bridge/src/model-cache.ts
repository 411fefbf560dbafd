/**
 * Which models a store holds: their manifests by address, what of their files is there, when they were used last.
 *
 * Files lie under the hash of their content and may belong to several models, so none is removed while another model's
 * manifest names it.
 */

import { etagPath, filePath } from "./download.ts";
import type { Locks } from "./locks.ts";
import { type ModelManifest, parseManifest } from "./manifest.ts";
import { hashText, snapshotFolder } from "./snapshot.ts";
import type { ModelStore } from "./store.ts";

/** A model of which at least a part was downloaded. */
export interface CachedModel {
  /** The address it is loaded by. */
  readonly url: string;
  readonly id: string;
  /** Of all its files, and how much of that is here. */
  readonly size_bytes: number;
  readonly stored_bytes: number;
  readonly is_complete: boolean;
  /** Milliseconds since 1970. */
  readonly used_at: number;
}

export interface ModelCache {
  /** The manifest of a model that was whole once. */
  kept(modelUrl: string): Promise<ModelManifest | undefined>;
  /** Remember that a model is whole, and drop what only the version before it needed. */
  keep(modelUrl: string, manifest: ModelManifest): Promise<void>;
  /** Note that a model is used, or that its download begins. */
  touch(modelUrl: string, manifest: ModelManifest): Promise<void>;
  /** The one used last comes first. */
  list(): Promise<CachedModel[]>;
  /** Forget a model and delete its files and snapshots. `described` is what the server says of it now. */
  remove(modelUrl: string, described: ModelManifest | undefined): Promise<void>;
}

/** What is noted of a model from its first byte on; `manifests/` has those that are whole. */
interface Note {
  readonly url: string;
  readonly used_at: number;
  readonly manifest: ModelManifest;
}

/** The lock that a file is written and removed under, in all tabs. */
export function fileLock(sha256: string): string {
  return `onnxruntime-web-bridge/${sha256}`;
}

export function createModelCache(store: ModelStore, locks: Locks, now: () => number = Date.now): ModelCache {
  // A file of the origin private file system has one writer: tabs that write the same note take turns.
  const inTurn = <T>(use: () => Promise<T>) => locks.hold("onnxruntime-web-bridge/notes", undefined, use);

  async function notes(): Promise<Note[]> {
    const found = await Promise.all((await store.list("notes/")).map((path) => readNote(store, path)));
    return found.filter((note) => note !== undefined);
  }

  /** Delete the files and snapshots of a manifest that no model refers to any more. */
  async function removeUnused(manifest: ModelManifest): Promise<void> {
    const kept = await Promise.all((await store.list("manifests/")).map((path) => readManifest(store, path)));
    const others = [...kept.filter((other) => other !== undefined), ...(await notes()).map((note) => note.manifest)];
    const used = new Set(others.flatMap((other) => [snapshotFolder(other), ...other.files.map(filePath)]));
    for (const file of manifest.files.filter((candidate) => !used.has(filePath(candidate)))) {
      // Another tab may be in the middle of its download.
      await locks.hold(fileLock(file.sha256), undefined, async () => {
        await store.remove(filePath(file));
        await store.remove(etagPath(file));
      });
    }
    const folder = snapshotFolder(manifest);
    if (!used.has(folder)) for (const path of await store.list(`${folder}/`)) await store.remove(path);
  }

  return {
    kept: async (modelUrl) => readManifest(store, await manifestPath(modelUrl)),
    async keep(modelUrl, manifest) {
      const path = await manifestPath(modelUrl);
      const before = await inTurn(async () => {
        const known = await readManifest(store, path);
        if (known && JSON.stringify(known) === JSON.stringify(manifest)) return undefined;
        await store.write(path, encode(manifest));
        return known;
      });
      if (before) await removeUnused(before);
    },
    touch: (modelUrl, manifest) =>
      inTurn(async () => {
        const note: Note = { url: modelUrl, used_at: now(), manifest };
        await store.write(await notePath(modelUrl), encode(note));
      }),
    async list() {
      const models = await Promise.all((await notes()).map((note) => measure(store, note)));
      return models.filter((model) => model.stored_bytes > 0).sort((one, other) => other.used_at - one.used_at);
    },
    async remove(modelUrl, described) {
      const paths = [await manifestPath(modelUrl), await notePath(modelUrl)] as const;
      const manifests = await inTurn(async () => {
        const known = [await readManifest(store, paths[0]), (await readNote(store, paths[1]))?.manifest, described];
        for (const path of paths) await store.remove(path);
        return known.filter((manifest) => manifest !== undefined);
      });
      for (const manifest of manifests) await removeUnused(manifest);
    },
  };
}

async function measure(store: ModelStore, { url, used_at, manifest }: Note): Promise<CachedModel> {
  const sizes = await Promise.all(manifest.files.map(async (file) => (await store.size(filePath(file))) ?? 0));
  return {
    url,
    id: manifest.id,
    size_bytes: manifest.files.reduce((sum, file) => sum + file.size_bytes, 0),
    stored_bytes: sizes.reduce((sum, size) => sum + size, 0),
    is_complete: manifest.files.every((file, index) => sizes[index] === file.size_bytes),
    used_at,
  };
}

async function manifestPath(modelUrl: string): Promise<string> {
  return `manifests/${(await hashText(modelUrl)).slice(0, 32)}`;
}

async function notePath(modelUrl: string): Promise<string> {
  return `notes/${(await hashText(modelUrl)).slice(0, 32)}`;
}

async function readManifest(store: ModelStore, path: string): Promise<ModelManifest | undefined> {
  try {
    const value = await readJson(store, path);
    return value === undefined ? undefined : parseManifest(value);
  } catch {
    return undefined;
  }
}

/** A note that can't be read is the same as none: it only says what is shown. */
async function readNote(store: ModelStore, path: string): Promise<Note | undefined> {
  try {
    const { url, used_at, manifest } = (await readJson(store, path)) as Record<string, unknown>;
    if (typeof url !== "string" || typeof used_at !== "number") return undefined;
    return { url, used_at, manifest: parseManifest(manifest) };
  } catch {
    return undefined;
  }
}

async function readJson(store: ModelStore, path: string): Promise<unknown> {
  const bytes = await store.read(path);
  return bytes && JSON.parse(new TextDecoder().decode(bytes));
}

function encode(value: unknown): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(value));
}
