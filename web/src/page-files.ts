/** Where a page's workers find the files of Python, and how they read them. */

import type { PythonFiles } from "./boot.ts";

/** `site` ends with a slash. Without a `snapshot` and what is compiled, which the callers add or leave out. */
export function pageFiles(site: string): PythonFiles {
  return {
    pyodideUrl: `${site}pyodide/`,
    indexUrl: `${site}pyodide/`,
    packageUrl: `${site}python/`,
    lockFile: () => readText(`${site}python/pyodide-lock.json`),
    libraryUrl: `${site}python/stdlib.zip`,
    readLibrary: readAtOnce,
  };
}

/** What a browser says of its line; only some do. */
export interface Line {
  /** Not the `downlink`: Chromium says 1.5 megabits for a line that it doesn't know yet. */
  readonly effectiveType?: string;
  readonly saveData?: boolean;
}

/**
 * Whether a start from files is sooner: a snapshot saves a second of the processor and costs two megabytes more.
 *
 * Where a browser doesn't say it, the line counts as fast.
 */
export function wantsFewBytes({ effectiveType = "4g", saveData = false }: Line): boolean {
  return saveData || effectiveType !== "4g";
}

/** Undefined where there is none, and where it costs too much: then Python starts from its files. */
export async function readSnapshotFile(site: string): Promise<Uint8Array | undefined> {
  const url = `${site}python/snapshot.bin`;
  const line = (navigator as { readonly connection?: Line }).connection ?? {};
  if (wantsFewBytes(line) && !(await isKept(url))) return undefined;
  return fetchSnapshot(site);
}

/** Undefined where there is none. */
export async function fetchSnapshot(site: string): Promise<Uint8Array | undefined> {
  const response = await fetch(`${site}python/snapshot.bin`);
  const bytes = response.ok ? new Uint8Array(await response.arrayBuffer()) : undefined;
  return bytes?.length ? bytes : undefined;
}

/** Whether the service worker has a file, from an earlier visit. */
async function isKept(url: string): Promise<boolean> {
  try {
    return (await caches.match(url)) !== undefined;
  } catch {
    return false;
  }
}

/** Compile while the rest is fetched. */
export function compileModule(site: string): Promise<WebAssembly.Module> {
  return WebAssembly.compileStreaming(fetch(`${site}pyodide/pyodide.asm.wasm`));
}

/** Wait without a promise, which only a worker may: an import in Python can't wait for one. */
function readAtOnce(url: string): Uint8Array {
  const request = new XMLHttpRequest();
  request.open("GET", url, false);
  request.responseType = "arraybuffer";
  request.send();
  if (request.status !== 200) throw new Error(`${url}: the server said ${request.status}`);
  return new Uint8Array(request.response as ArrayBuffer);
}

async function readText(url: string): Promise<string> {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url}: the server said ${response.status}`);
  return response.text();
}
