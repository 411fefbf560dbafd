/** transformers.js in a worker, on the wasm back end, from local files. */

import {
  AutoModel,
  AutoModelForCausalLM,
  AutoTokenizer,
  env,
  type PreTrainedModel,
  type PreTrainedTokenizer,
  type Tensor,
} from "@huggingface/transformers";
import { serve } from "./calls.ts";
import type { Answer, Memory } from "./engine.ts";
import { memoryBytes, watchMemories } from "./memories.ts";

watchMemories();
const site = new URL("../", import.meta.url).href;
let model: PreTrainedModel;
let tokenizer: PreTrainedTokenizer;
let embedder: PreTrainedModel;
let words: PreTrainedTokenizer;

function prepare(threads: number, keep: boolean): void {
  env.allowRemoteModels = false;
  env.allowLocalModels = true;
  // A path, no address: of an address it does not look whether there is a tokenizer.
  env.localModelPath = "/peers/models/";
  env.useBrowserCache = keep;
  env.useWasmCache = keep;
  const { wasm } = env.backends.onnx;
  if (!wasm) throw new Error("this build has no wasm back end");
  wasm.numThreads = threads;
  wasm.proxy = false;
  wasm.wasmPaths = {
    mjs: `${site}peers/ort/ort-wasm-simd-threaded.asyncify.mjs`,
    wasm: `${site}peers/ort/ort-wasm-simd-threaded.asyncify.wasm`,
  };
}

serve({
  async load(threads: number, keep: boolean) {
    prepare(threads, keep);
    const begin = performance.now();
    [model, tokenizer] = await Promise.all([
      AutoModelForCausalLM.from_pretrained("smollm2", {
        dtype: "q8",
        device: "wasm",
        use_external_data_format: true,
      }),
      AutoTokenizer.from_pretrained("smollm2"),
    ]);
    return performance.now() - begin;
  },
  async chat(text: string, ids: number[], tokens: number): Promise<Answer> {
    const inputs = tokenizer(text, { add_special_tokens: false });
    const read = Array.from(inputs.input_ids.data as BigInt64Array, Number);
    if (String(read) !== String(ids)) throw new Error(`transformers.js reads other tokens: ${read.slice(0, 40)}`);
    const times: number[] = [];
    const written: number[] = [];
    const begin = performance.now();
    await model.generate({
      ...inputs,
      max_new_tokens: tokens,
      min_new_tokens: tokens,
      do_sample: false,
      streamer: {
        put(value: bigint[][]) {
          times.push(performance.now());
          if (times.length > 1) written.push(...(value[0] ?? []).map(Number));
        },
        end: () => undefined,
      } as never,
    });
    // The first that the streamer is given is the prompt.
    const first = times[1] ?? 0;
    return {
      first: first - begin,
      decode: (times.at(-1) ?? 0) - first,
      steps: times.length - 2,
      prefilled: ids.length,
      text: tokenizer.decode(written),
    };
  },
  async loadEmbeddings(threads: number) {
    prepare(threads, true);
    const begin = performance.now();
    [embedder, words] = await Promise.all([
      AutoModel.from_pretrained("minilm", { dtype: "q8", device: "wasm" }),
      AutoTokenizer.from_pretrained("minilm"),
    ]);
    return performance.now() - begin;
  },
  async embed(texts: string[], batch: number) {
    const begin = performance.now();
    const vectors: number[][] = [];
    for (let at = 0; at < texts.length; at += batch) {
      const inputs = words(texts.slice(at, at + batch), { padding: true, truncation: true });
      const { embedding } = await embedder(inputs);
      vectors.push(...((embedding as Tensor).tolist() as number[][]));
    }
    return { milliseconds: performance.now() - begin, vectors };
  },
  memory: (): Memory => ({ model: memoryBytes(), python: null }),
  async close() {
    await model?.dispose();
    await embedder?.dispose();
  },
});
