/**
 * The Worker of local models: onnxruntime-web behind a service binding, for a Python Worker, which may carry no wasm.
 *
 * All models live in one Durable Object: there a promise may be shared between requests, which a Worker forbids, and what
 * was computed of a sequence is found again. It is a cache only, so an eviction costs time and nothing else.
 */

import { DurableObject, WorkerEntrypoint } from "cloudflare:workers";
import startOrt from "onnxruntime-web/ort-wasm-simd-threaded.mjs";
import { BridgeError, type BridgeErrorData, createOnnxBridge, wasmRuntime } from "onnxruntime-web-bridge";
import { createLocalModels, type LocalModels, uploadedStore } from "./local-models.ts";
import wasm from "./ort-wasm-simd-threaded.wasm";

/** An isolate has 128 MB; the runtime and its code take the rest. */
const LIMIT_BYTES = 115_000_000;

interface Env {
  readonly FILES: { fetch(url: string): Promise<Response> };
  readonly MODELS: { get(id: unknown): Home; idFromName(name: string): unknown };
}

/** What crosses back: errors as data, since of an error that is thrown only name and text would arrive. */
type Answer = { readonly value: unknown } | { readonly error: BridgeErrorData };
type Method = keyof LocalModels;

interface Home {
  ask(method: Method, args: readonly unknown[]): Promise<Answer>;
}

/** Where the models are loaded; there is one object of this class. */
export class Models extends DurableObject<Env> implements Home {
  readonly #models = createLocalModels(this.#bridge(), LIMIT_BYTES);

  #bridge() {
    const { store, fetch } = uploadedStore((url) => this.env.FILES.fetch(url));
    return createOnnxBridge(
      wasmRuntime((settings) =>
        startOrt({
          ...settings,
          // Compiled before the upload: nothing may be compiled here.
          instantiateWasm(imports: WebAssembly.Imports, done: (instance: WebAssembly.Instance) => void) {
            const instance = new WebAssembly.Instance(wasm, imports);
            done(instance);
            return instance.exports;
          },
        } as typeof settings),
      ),
      { store, fetch },
    );
  }

  async ask(method: Method, args: readonly unknown[]): Promise<Answer> {
    try {
      const work = this.#models[method] as (...args: readonly unknown[]) => Promise<unknown>;
      return { value: await work(...args) };
    } catch (error) {
      if (error instanceof BridgeError) {
        const { kind, message, details } = error;
        return { error: { kind, message, details } };
      }
      return { error: { kind: "internal", message: String(error), details: {} } };
    }
  }
}

// biome-ignore lint/style/noDefaultExport: Workers want it
export default class extends WorkerEntrypoint<Env> {
  /** Reached by nobody: this Worker has no address. */
  fetch(): Response {
    return new Response("local models are asked over a service binding", { status: 404 });
  }

  describe(id: string): Promise<Answer> {
    return this.#ask("describe", id);
  }

  read(id: string, name: string): Promise<Answer> {
    return this.#ask("read", id, name);
  }

  async forward(id: string, ids: Int32Array, k: number, allowed?: Int32Array): Promise<Answer> {
    return this.#ask("forward", id, ids, k, allowed ?? null);
  }

  keep(id: string, ids: Int32Array): Promise<Answer> {
    return this.#ask("keep", id, ids);
  }

  embed(id: string, ids: Int32Array, lengths: Int32Array): Promise<Answer> {
    return this.#ask("embed", id, ids, lengths);
  }

  #ask(method: Method, ...args: readonly unknown[]): Promise<Answer> {
    return this.env.MODELS.get(this.env.MODELS.idFromName("models")).ask(method, args);
  }
}
