/** Start Python: Pyodide and our modules from a snapshot or from their files, then `limpet.entrypoints.web_worker`. */

import type { PyodideAPI, PyodideConfig } from "pyodide";
import type { HostFetch } from "./host-fetch.ts";
import type { HostInference } from "./host-inference.ts";
import type { HostStorage } from "./host-storage.ts";
import { readSnapshot, type WasmModule } from "./snapshot.ts";
import type { HostPool } from "./tool-pool.ts";

/** What Python is given, and `install`; the same names as `JsPlatform` in `web_worker.py`. */
export interface Platform {
  readonly fetch: HostFetch;
  readonly storage: HostStorage;
  readonly inference: HostInference;
  /** Missing where no workers can be started: then tools that want one run in the agent's interpreter. */
  readonly pool?: HostPool;
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
  /** The snapshot; undefined where there is none. */
  readonly snapshot?: (() => Promise<Uint8Array | undefined>) | undefined;
  /** Compile Pyodide's wasm module, or give it; without this the loader does it. */
  readonly compile?: (() => Promise<WebAssembly.Module>) | undefined;
  /** The part of the standard library that a start needs, for one without a snapshot; without this it is all of it. */
  readonly libraryUrl?: string | undefined;
  /** Read the whole library's archive at once, without a promise, when something else of it is imported. */
  readonly readLibrary?: ((url: string) => Uint8Array) | undefined;
}

/** Takes a `Command` as JSON text. */
export type Receive = (command: string) => void;

type Milliseconds = Record<string, number>;

/** Start Python and give the function that takes commands; each `Report` goes to `post` as JSON text. */
export async function bootPython(
  files: PythonFiles,
  platform: Platform,
  post: (report: string) => void,
): Promise<Receive> {
  const milliseconds: Milliseconds = {};
  const started = await startPython(files, milliseconds);
  const began = performance.now();
  const module = started.pyimport("limpet.entrypoints.web_worker");
  milliseconds.import = round(performance.now() - began);
  try {
    // What a user's agent needs beside our own wheel comes from the same lock file.
    const install = (name: string) => started.loadPackage(name, { messageCallback: () => undefined });
    return module.start({ ...platform, install }, post, JSON.stringify(milliseconds));
  } finally {
    module.destroy();
  }
}

/** Start an interpreter that has our modules. */
export async function startPython(files: PythonFiles, milliseconds: Milliseconds = {}): Promise<PyodideAPI> {
  const lockFile = files.lockFile();
  lockFile.catch(() => undefined);
  const restored = await fromSnapshot(files, lockFile, milliseconds);
  if (restored) return restored;
  const pyodide = await measure(milliseconds, "pyodide", () => fromFiles(files, lockFile));
  await measure(milliseconds, "install", () => pyodide.loadPackage("limpet", { messageCallback: () => undefined }));
  if (files.libraryUrl !== undefined) {
    offerLibrary(pyodide, files);
    const module = pyodide.pyimport("limpet.hosts.late_library");
    module.offer();
    module.destroy();
  }
  return pyodide;
}

interface Loader {
  loadPyodide(config: PyodideConfig): Promise<PyodideAPI>;
}

/** Not bundled: the loader and the files that it loads have to be of one version, so they lie in one folder. */
function importLoader(files: PythonFiles): Promise<Loader> {
  return import(new URL("pyodide.mjs", files.pyodideUrl).href);
}

async function fromFiles(files: PythonFiles, lockFile: Promise<string>): Promise<PyodideAPI> {
  // What can't be compiled ahead is left to the loader.
  const compiled = files.compile?.().catch(() => null) ?? null;
  const loader = await importLoader(files);
  const library = files.libraryUrl === undefined ? {} : { stdLibURL: files.libraryUrl };
  return withCompiled(await compiled, () => loader.loadPyodide({ ...configOf(files, lockFile), ...library }));
}

function configOf(files: PythonFiles, lockFile: Promise<string>): PyodideConfig {
  return {
    indexURL: files.indexUrl,
    packageBaseUrl: files.packageUrl,
    lockFileContents: lockFile,
    // We never block on a promise; without this no stack switching is set up, which Safari does not have.
    enableRunUntilComplete: false,
  };
}

const LIBRARY_PATH = "/lib/python314.zip";

/** Give null where there is no snapshot, or where it can't be used; the reason is logged. */
async function fromSnapshot(
  files: PythonFiles,
  lockFile: Promise<string>,
  milliseconds: Milliseconds,
): Promise<PyodideAPI | null> {
  if (!files.snapshot) return null;
  const began = performance.now();
  try {
    // All at once: what is fetched last is waited for, not the sum.
    const modules = Promise.all([importLoader(files), importWasmLoader(files)]);
    const compiled = files.compile?.() ?? null;
    compiled?.catch(() => undefined);
    const [bytes, lock] = await Promise.all([files.snapshot(), lockFile]);
    if (!bytes) return null;
    const snapshot = readSnapshot(bytes, lock);
    const [loader, createModule] = await modules;
    const module = compiled && (await compiled);
    milliseconds.fetch = round(performance.now() - began);
    const config = {
      ...configOf(files, lockFile),
      // An archive without a file in it: the snapshot has everything.
      stdLibURL: new URL("empty.zip", files.packageUrl).href,
      _loadSnapshot: new Uint8Array(snapshot.length),
      async createPyodideModule(settings: Record<string, unknown>) {
        // Pyodide's own wasm memory is as large as it will be; the size is only asked for by a build that makes one.
        delete settings.INITIAL_MEMORY;
        const created = await createModule(settings);
        created.API.restoreSnapshot = () => snapshot.restore(created.HEAPU8);
        return created;
      },
    };
    const pyodide = await measure(milliseconds, "restore", () =>
      withCompiled(module, () => loader.loadPyodide(config as unknown as PyodideConfig)),
    );
    offerLibrary(pyodide, files);
    return pyodide;
  } catch (error) {
    console.warn("Limpet: the snapshot can't be used here, starting from the files:", error);
    return null;
  }
}

async function importWasmLoader(files: PythonFiles): Promise<(settings: object) => Promise<WasmModule>> {
  const url = new URL("pyodide.asm.mjs", files.pyodideUrl).href;
  return ((await import(url)) as { default: (settings: object) => Promise<WasmModule> }).default;
}

/**
 * Have Pyodide's loader take the module that was compiled meanwhile.
 *
 * It has no option for that: it fetches and compiles by itself, with imports of its own. So for as long as it does so,
 * the two functions that it calls give what is there already.
 */
async function withCompiled<T>(module: WebAssembly.Module | null, work: () => Promise<T>): Promise<T> {
  if (!module) return work();
  const { fetch: fetchIt } = globalThis;
  const { instantiateStreaming } = WebAssembly;
  globalThis.fetch = async (input, init) =>
    String(input instanceof Request ? input.url : input).endsWith(".wasm") ? new Response() : fetchIt(input, init);
  WebAssembly.instantiateStreaming = async (_, imports) => ({
    module,
    instance: await WebAssembly.instantiate(module, imports),
  });
  try {
    return await work();
  } finally {
    globalThis.fetch = fetchIt;
    WebAssembly.instantiateStreaming = instantiateStreaming;
  }
}

/** Let Python fetch the rest of the standard library at the first import of it (`late_library.py`). */
function offerLibrary(pyodide: PyodideAPI, files: PythonFiles): void {
  const url = new URL("python_stdlib.zip", files.pyodideUrl).href;
  Object.assign(globalThis, {
    limpetLateLibrary: () => {
      if (files.readLibrary) pyodide.FS.writeFile(LIBRARY_PATH, files.readLibrary(url));
    },
  });
}

async function measure<T>(milliseconds: Milliseconds, name: string, work: () => Promise<T>): Promise<T> {
  const began = performance.now();
  const result = await work();
  milliseconds[name] = round(performance.now() - began);
  return result;
}

function round(milliseconds: number): number {
  return Math.round(milliseconds * 10) / 10;
}
