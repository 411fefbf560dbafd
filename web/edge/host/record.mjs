// Records the WebAssembly modules which Pyodide compiles while it starts, beside its own: signature converters, probes
// and a trampoline, about 1.6 kB in all. workerd compiles nothing at run time, so they are shipped as modules.
//
//   node --experimental-wasm-jspi record.mjs OUTPUT_FOLDER
//
// What is recorded fits one version of Pyodide; a module that is missing is named by the shim with its bytes.
import { createHash } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";

const output = resolve(process.argv[2]);
const LARGEST = 4096;
/** @type {Map<string, Uint8Array>} */
const seen = new Map();

function note(source) {
  const bytes = ArrayBuffer.isView(source)
    ? new Uint8Array(source.buffer, source.byteOffset, source.byteLength)
    : new Uint8Array(source);
  if (bytes.length <= LARGEST) seen.set(createHash("sha256").update(bytes).digest("hex"), bytes.slice());
}

const { Module, compile, instantiate } = WebAssembly;
WebAssembly.Module = new Proxy(Module, {
  construct(target, [source]) {
    note(source);
    return new target(source);
  },
});
WebAssembly.compile = (source) => {
  note(source);
  return compile.call(WebAssembly, source);
};
WebAssembly.instantiate = (source, imports) => {
  if (!(source instanceof Module)) note(source);
  return instantiate.call(WebAssembly, source, imports);
};

const { loadPyodide } = await import("pyodide");
const pyodide = await loadPyodide();
// What the entry point's imports ask for beside the start itself.
pyodide.runPython("import asyncio, http.client, pyodide.http, ssl, sqlite3, zoneinfo");
await pyodide.runPythonAsync("import asyncio; await asyncio.sleep(0.001)");

mkdirSync(output, { recursive: true });
const modules = [...seen.values()].sort((a, b) => a.length - b.length || Buffer.compare(a, b));
modules.forEach((bytes, index) => {
  writeFileSync(join(output, `sig${index}.wasm`), bytes);
});
console.log(JSON.stringify({ modules: modules.length, bytes: modules.reduce((sum, it) => sum + it.length, 0) }));
process.exit(0);
