/** The peers: transformers.js in a worker, and wllama, which has one of its own. */

import { LoggerWithoutDebug, Wllama } from "@wllama/wllama";
import { connect } from "./calls.ts";
import type { Answer, Call, Engine, Memory } from "./engine.ts";

/** As many texts at a time: more were slower, for each is as long as the longest. */
const BATCH = 8;

export function createTransformers(): Engine {
  const ask = connect(new Worker(new URL("transformers-worker.js", import.meta.url), { type: "module" }));
  return {
    boot: async () => 0,
    load: (threads, keep) => ask("load", threads, keep),
    chat: (prompt, tokens) => ask<Answer>("chat", prompt.text, prompt.ids, tokens),
    loadEmbeddings: (threads) => ask("loadEmbeddings", threads),
    embed: (texts) => ask("embed", texts, BATCH),
    memory: () => ask<Memory>("memory"),
    close: () => ask("close"),
  };
}

export function createWllama(file: string): Engine {
  const site = new URL("../peers/", import.meta.url).href;
  const wllama = new Wllama({ default: `${site}wllama/wllama.wasm` }, { logger: LoggerWithoutDebug });

  /** Give the text, the counts, and the times of the beginning, the first piece and the last. */
  async function complete(prompt: string, tokens: number, options: object) {
    const begin = performance.now();
    let [first, last, text] = [0, 0, ""];
    let usage: { prompt_tokens: number; completion_tokens: number } | undefined | null;
    let timings: { cache_n?: number; prompt_n?: number; predicted_n?: number } | undefined;
    const chunks = await wllama.createCompletion({
      prompt,
      max_tokens: tokens,
      temperature: 0,
      top_k: 1,
      stream: true,
      ...options,
    });
    for await (const chunk of chunks) {
      const piece = chunk.choices[0]?.text ?? "";
      if (piece) {
        last = performance.now();
        first ||= last;
        text += piece;
      }
      usage = chunk.usage ?? usage;
      timings = (chunk.timings as typeof timings) ?? timings;
    }
    return { begin, first, last, end: performance.now(), text, usage, timings };
  }

  return {
    boot: async () => 0,
    async load(threads, useCache) {
      const begin = performance.now();
      await wllama.loadModelFromUrl(`${site}models/${file}`, {
        n_threads: threads,
        n_ctx: 2048,
        n_gpu_layers: 0,
        useCache,
      });
      if (wllama.getNumThreads() !== threads) throw new Error(`wllama runs ${wllama.getNumThreads()} threads`);
      return performance.now() - begin;
    },
    async chat(prompt, tokens) {
      const told = await complete(prompt.text, tokens, { ignore_eos: true });
      return {
        first: told.first - told.begin,
        decode: told.last - told.first,
        steps: (told.timings?.predicted_n ?? tokens) - 1,
        prefilled: told.timings?.prompt_n ?? prompt.ids.length,
        text: told.text,
      };
    },
    async call(question) {
      const told = await complete(question.text, 128, { grammar: question.grammar });
      return {
        whole: told.end - told.begin,
        text: told.text,
        tokens: told.timings?.predicted_n ?? 0,
        prefilled: told.timings?.prompt_n ?? 0,
      } satisfies Call;
    },
    memory: async () => ({ model: null, python: null }),
    close: () => wllama.exit(),
  };
}
