/** Start Python: Pyodide from our own files, our wheel from our own lock file, then `limpet.entrypoints.web_worker`. */

import type { PyodideAPI, PyodideConfig } from "pyodide";
import type { HostFetch } from "./host-fetch.ts";
import type { HostInference } from "./host-inference.ts";
import type { HostStorage } from "./host-storage.ts";

/** What Python is given, and `install`; the same names as `JsPlatform` in `web_worker.py`. */
export interface Platform {
  readonly fetch: HostFetch;
  readonly storage: HostStorage;
  readonly inference: HostInference;
}

/** Where Pyodide's files are, ours, and how to read the lock file. */
export interface PythonFiles {
  /** Folder of `pyodide.mjs`, with a slash at its end. */
  readonly pyodideUrl: string;
  /** `indexURL` as this host's Pyodide wants it: a URL in a browser, a path in Node. */
  readonly indexUrl: string;
  /** Folder of the wheel, in the same form. */
  readonly packageUrl: string;
  readonly lockFile: () => Promise<string>;
}

/** Takes a `Command` as JSON text. */
export type Receive = (command: string) => void;

/** Start Python and give the function that takes commands; each `Report` goes to `post` as JSON text. */
export async function bootPython(
  files: PythonFiles,
  platform: Platform,
  post: (report: string) => void,
): Promise<Receive> {
  const milliseconds: Record<string, number> = {};
  const began = performance.now();
  const pyodide = await loadPyodide(files);
  milliseconds.pyodide = round(performance.now() - began);

  const installing = performance.now();
  await pyodide.loadPackage("limpet", { messageCallback: () => undefined });
  milliseconds.install = round(performance.now() - installing);

  const importing = performance.now();
  const module = pyodide.pyimport("limpet.entrypoints.web_worker");
  milliseconds.import = round(performance.now() - importing);
  try {
    // What a user's agent needs beside our own wheel comes from the same lock file.
    const install = (name: string) => pyodide.loadPackage(name, { messageCallback: () => undefined });
    return module.start({ ...platform, install }, post, JSON.stringify(milliseconds));
  } finally {
    module.destroy();
  }
}

async function loadPyodide(files: PythonFiles): Promise<PyodideAPI> {
  const lockFileContents = files.lockFile();
  // Not bundled: the loader and the files that it loads have to be of one version, so they lie in one folder.
  const loader: { loadPyodide(config: PyodideConfig): Promise<PyodideAPI> } = await import(
    new URL("pyodide.mjs", files.pyodideUrl).href
  );
  return loader.loadPyodide({
    indexURL: files.indexUrl,
    packageBaseUrl: files.packageUrl,
    lockFileContents,
    // We never block on a promise; without this no stack switching is set up, which Safari does not have.
    enableRunUntilComplete: false,
  });
}

function round(milliseconds: number): number {
  return Math.round(milliseconds * 10) / 10;
}
