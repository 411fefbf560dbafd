/**
 * One file from the network into a store: resumed where it was cut off, refused when it is something else.
 *
 * Bytes are written as they arrive, so what came before an interruption is kept. Whether the whole is right is decided
 * by its SHA-256, which `readChecked` computes over what the store gives back.
 */

import { BridgeError, throwIfAborted, toBridgeError } from "./errors.ts";
import type { ModelFile } from "./manifest.ts";
import { toHex } from "./snapshot.ts";
import type { ModelStore, StoreWriter } from "./store.ts";

export interface FetchInit {
  readonly headers?: Record<string, string>;
  readonly signal?: AbortSignal;
  readonly cache?: RequestCache;
}

export type FetchFunction = (url: string, init: FetchInit) => Promise<Response>;

export interface DownloadOptions {
  readonly store: ModelStore;
  readonly fetch: FetchFunction;
  readonly signal?: AbortSignal | undefined;
  /** Called with the bytes so far, at most once for each `PROGRESS_BYTES` and at the end. */
  readonly onBytes: (loaded: number) => void;
}

const PROGRESS_BYTES = 256 * 1024;

/** So much is written at once: 98 MB in writes of 64 kB take 0.9 s in Chromium, in writes of 4 MB 0.2 s. */
const WRITE_BYTES = 4 * 1024 * 1024;

/** How often a broken connection is taken up again, if bytes arrived since the last time. */
const MAX_RESUMES = 4;

/** Where a file lies: by its content, so that two models share what is the same. */
export function filePath(file: ModelFile): string {
  return `files/${file.sha256}`;
}

/** Path of the note with the server's version of a file that is half there. */
export function etagPath(file: ModelFile): string {
  return `${filePath(file)}.etag`;
}

/** Bring a file into the store. Throws `offline`, `http`, `bad_content`, `quota` or `aborted`. */
export async function download(file: ModelFile, url: string, options: DownloadOptions): Promise<void> {
  const { store } = options;
  const opened = await store.append(filePath(file)).catch((error: unknown) => {
    throw toBridgeError(error, "internal", `${file.name} can't be written to ${store.name}`);
  });
  const writer = gathering(opened, Math.min(WRITE_BYTES, file.size_bytes));
  try {
    let resumes = 0;
    for (;;) {
      const before = writer.size;
      try {
        await attempt(file, url, writer, options);
        break;
      } catch (error) {
        const isBroken = error instanceof BridgeError && error.kind === "offline" && writer.size > before;
        if (!isBroken || ++resumes > MAX_RESUMES) throw error;
      }
    }
  } finally {
    await writer.close();
  }
  await store.remove(etagPath(file));
}

interface GatheringWriter extends StoreWriter {
  /** Write what has been gathered. */
  flush(): Promise<void>;
}

/** Put pieces together before they are written. What could not be written when it closes is left out. */
function gathering(writer: StoreWriter, size_bytes: number): GatheringWriter {
  const gathered = new Uint8Array(size_bytes);
  let used = 0;

  async function flush(): Promise<void> {
    const bytes = gathered.subarray(0, used);
    used = 0;
    if (bytes.length > 0) await writer.write(bytes);
  }

  return {
    get size() {
      return writer.size + used;
    },
    flush,
    async write(chunk) {
      if (used + chunk.length > size_bytes) await flush();
      if (chunk.length > size_bytes) return writer.write(chunk);
      gathered.set(chunk, used);
      used += chunk.length;
    },
    async clear() {
      used = 0;
      await writer.clear();
    },
    async close() {
      await flush().catch(() => undefined);
      await writer.close();
    },
  };
}

async function attempt(file: ModelFile, url: string, writer: GatheringWriter, options: DownloadOptions): Promise<void> {
  if (writer.size > file.size_bytes) await writer.clear();
  if (writer.size === file.size_bytes) return;
  let response = await request(file, url, writer.size, options);
  if (writer.size > 0 && !continues(response, writer.size, file)) {
    await writer.clear();
    if (response.status !== 200) {
      await response.body?.cancel();
      response = await request(file, url, 0, options);
    }
  }
  try {
    checkResponse(response, file, writer.size);
    await noteVersion(response, file, options.store);
    await receive(response, file, writer, options);
  } catch (error) {
    await response.body?.cancel().catch(() => undefined);
    throw error;
  }
}

async function request(file: ModelFile, url: string, start: number, options: DownloadOptions): Promise<Response> {
  const { store, fetch, signal } = options;
  throwIfAborted(signal);
  const headers: Record<string, string> = {};
  if (start > 0) {
    headers.range = `bytes=${start}-`;
    // Only when the server gave one: to another origin this header costs a preflight that not every server answers.
    const etag = await store.read(etagPath(file));
    if (etag) headers["if-range"] = new TextDecoder().decode(etag);
  }
  try {
    // The store is the cache; the browser's own would keep the same bytes a second time.
    return await fetch(url, { headers, cache: "no-store", ...(signal ? { signal } : {}) });
  } catch (error) {
    throw toBridgeError(error, "offline", `${file.name} was not reached`);
  }
}

/** Whether the response holds the file from `start` on. */
function continues(response: Response, start: number, file: ModelFile): boolean {
  if (response.status !== 206) return false;
  const [, from, total] = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(response.headers.get("content-range") ?? "") ?? [];
  return Number(from) === start && (total === "*" || Number(total) === file.size_bytes);
}

function checkResponse(response: Response, file: ModelFile, start: number): void {
  const { status, headers } = response;
  if (status !== 200 && !(status === 206 && start > 0)) {
    throw new BridgeError("http", `the server answered ${status} for ${file.name}`, { status });
  }
  if ((headers.get("content-type") ?? "").toLowerCase().startsWith("text/html") && !file.name.endsWith(".html")) {
    throw new BridgeError("bad_content", `the server sent a web page instead of ${file.name}`);
  }
  const length = headers.get("content-length");
  // With a content coding the length is that of the coded bytes.
  if (length === null || headers.get("content-encoding")) return;
  if (Number(length) !== file.size_bytes - start) {
    const message = `the server has ${length} bytes of ${file.name}, expected are ${file.size_bytes - start}`;
    throw new BridgeError("bad_content", message, { expected: file.size_bytes - start, found: Number(length) });
  }
}

async function noteVersion(response: Response, file: ModelFile, store: ModelStore): Promise<void> {
  const etag = response.headers.get("etag");
  if (response.status !== 200) return;
  // A weak one must not be used for ranges (RFC 9110, section 13.1.5).
  if (etag && !etag.startsWith("W/")) await store.write(etagPath(file), new TextEncoder().encode(etag));
  else await store.remove(etagPath(file));
}

async function receive(
  response: Response,
  file: ModelFile,
  writer: GatheringWriter,
  { store, signal, onBytes }: DownloadOptions,
): Promise<void> {
  const reader = response.body?.getReader();
  let reported = writer.size;
  for (;;) {
    throwIfAborted(signal);
    const piece = await reader?.read().catch((error: unknown) => {
      throw toBridgeError(error, "offline", `the connection broke while ${file.name} arrived`);
    });
    if (!piece || piece.done) break;
    if (writer.size === 0) refuseMarkup(piece.value, file);
    if (writer.size + piece.value.length > file.size_bytes) {
      await writer.clear();
      throw new BridgeError("bad_content", `the server sent more than the ${file.size_bytes} bytes of ${file.name}`);
    }
    await writer.write(piece.value).catch((error: unknown) => explainWrite(error, file, writer.size, store));
    if (writer.size - reported >= PROGRESS_BYTES || writer.size === file.size_bytes) {
      reported = writer.size;
      onBytes(reported);
    }
  }
  await writer.flush().catch((error: unknown) => explainWrite(error, file, writer.size, store));
  if (writer.size < file.size_bytes) {
    throw new BridgeError(
      "offline",
      `the connection ended at ${writer.size} of ${file.size_bytes} bytes of ${file.name}`,
    );
  }
}

/** Servers answer with a page for a missing file, with status 200 and any content type. No model file begins like that. */
function refuseMarkup(chunk: Uint8Array, file: ModelFile): void {
  if (/\.(html|svg|xml)$/.test(file.name)) return;
  const start = new TextDecoder("latin1").decode(chunk.subarray(0, 64)).trimStart();
  if (/^(<!doctype|<html|<\?xml)/i.test(start)) {
    throw new BridgeError("bad_content", `the server sent a web page instead of ${file.name}`);
  }
}

async function explainWrite(error: unknown, file: ModelFile, written: number, store: ModelStore): Promise<never> {
  const found = toBridgeError(error, "internal", `${file.name} can't be written to ${store.name}`);
  if (found.kind !== "quota") throw found;
  throw quotaError(file.size_bytes - written, await store.free().catch(() => undefined), store);
}

/** Say how much is needed and how much there is. */
export function quotaError(needed: number, available: number | undefined, store: ModelStore): BridgeError {
  const room = available === undefined ? "that much is not there" : `${megabytes(available)} are free`;
  const details = { needed, ...(available === undefined ? {} : { available }) };
  return new BridgeError("quota", `${megabytes(needed)} are needed in ${store.name}, ${room}`, details);
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

/** Read a file that the store has whole; undefined when its bytes are not what they should be, and then it is removed. */
export async function readChecked(file: ModelFile, store: ModelStore): Promise<Uint8Array | undefined> {
  const bytes = await store.read(filePath(file));
  if (bytes?.length === file.size_bytes && (await sha256(bytes)) === file.sha256) return bytes;
  await store.remove(filePath(file));
  return undefined;
}

async function sha256(bytes: Uint8Array): Promise<string> {
  if (globalThis.crypto?.subtle === undefined) {
    throw new BridgeError("unsupported", "hashes can be checked in a secure context only: use https or localhost");
  }
  // Digest takes whole buffers only; in pieces it would need an implementation of our own.
  return toHex(await crypto.subtle.digest("SHA-256", bytes as Uint8Array<ArrayBuffer>));
}
