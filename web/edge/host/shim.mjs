// What Pyodide's own files are given in the place of `WebAssembly`, `location` and `fetch`, so that none of them is
// edited: modules that were compiled before the upload, found by their bytes.
import { files, sideModules, signatures } from "./modules.mjs";

const byBytes = new Map(signatures.map(({ bytes, module }) => [bytes, module]));

const LARGEST = 4096;

function find(source) {
  if (source instanceof WebAssembly.Module) return source;
  if (source.__module) return source.__module;
  const bytes = ArrayBuffer.isView(source)
    ? new Uint8Array(source.buffer, source.byteOffset, source.byteLength)
    : new Uint8Array(source);
  const text = String.fromCharCode(...bytes.subarray(0, LARGEST));
  const known = byBytes.get(btoa(text));
  if (known) return known;
  const stub = /limpet-side-module:([\w.-]+);/.exec(text);
  if (stub && sideModules[stub[1]]) return sideModules[stub[1]];
  throw new WebAssembly.CompileError(`not precompiled (${bytes.length} bytes): ${btoa(text).slice(0, 600)}`);
}

function Module(source) {
  return find(source);
}
Object.setPrototypeOf(Module, WebAssembly.Module);
Module.prototype = WebAssembly.Module.prototype;

export const __WA = Object.assign(Object.create(WebAssembly), {
  Module,
  compile: async (source) => find(source),
  instantiate: async (source, imports) => {
    const module = find(source);
    const instance = new WebAssembly.Instance(module, imports);
    return source instanceof WebAssembly.Module ? instance : { module, instance };
  },
  instantiateStreaming: async (response, imports) => {
    const module = find(await response);
    return { module, instance: new WebAssembly.Instance(module, imports) };
  },
});

export const __loc = new URL("https://pyodide.invalid/");

export async function __fetch(url) {
  const name = String(url).split("/").at(-1);
  const file = files[name];
  if (file === undefined) throw new Error(`Pyodide asked for ${name}, which is not packed`);
  if (file instanceof WebAssembly.Module) return { __module: file };
  return { ok: true, status: 200, arrayBuffer: async () => file };
}
