/** The page: one engine, made by name. `main` of `..` calls it. */

import type { Engine } from "./engine.ts";
import { createBridge, createOurs } from "./ours.ts";
import { createTransformers, createWllama } from "./peers.ts";

const ENGINES: Readonly<Record<string, () => Engine>> = {
  ours: createOurs,
  bridge: createBridge,
  transformers: createTransformers,
  "wllama-q8": () => createWllama("smollm2-q8_0.gguf"),
  "wllama-q4": () => createWllama("smollm2-q4_1.gguf"),
};

let engine: Engine | undefined;

Object.assign(globalThis, {
  limpetBench: {
    start(name: string) {
      engine = ENGINES[name]?.();
      return { isIsolated: crossOriginIsolated, cores: navigator.hardwareConcurrency };
    },
    ask(method: keyof Engine, words: never[]) {
      const run = engine?.[method] as ((...words: never[]) => Promise<unknown>) | undefined;
      if (!run) throw new Error(`this engine has no ${method}`);
      return run(...words);
    },
  },
});
