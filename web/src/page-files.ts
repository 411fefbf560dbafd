/** Where a page's workers find the files of Python, and how they read them. */

import type { PythonFiles } from "./boot.ts";

/** `site` ends with a slash. Without a `snapshot` and what is compiled, which the callers add or leave out. */
export function pageFiles(site: string): PythonFiles {
  return {
    pyodideUrl: `${site}pyodide/`,
    indexUrl: `${site}pyodide/`,
    packageUrl: `${site}python/`,
    lockFile: () => readText(`${site}python/pyodide-lock.json`),
    readLibrary: readAtOnce,
  };
}

/** A site may have none: then Python starts from its files. */
export async function readSnapshotFile(site: string): Promise<Uint8Array | undefined> {
  const response = await fetch(`${site}python/snapshot.bin`);
  return response.ok ? new Uint8Array(await response.arrayBuffer()) : undefined;
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
