/** Ours: the whole runtime, and the bridge alone. */

import { connectOnnxBridge, type OnnxBridge, type OnnxSession } from "onnxruntime-web-bridge";
import { connect } from "./calls.ts";
import type { Answer, Call, Engine, Memory, Reuse } from "./engine.ts";

type Runs = readonly (readonly [tokens: number, begin: number, end: number])[];

interface Told<T> {
  readonly value: T;
  readonly runs: Runs;
}

/** Python, the agent's loop and the bridge, over two workers; times are taken where the events arrive. */
export function createOurs(): Engine {
  const worker = new Worker(new URL("ours-worker.js", import.meta.url), { type: "module" });
  const ask = connect(worker);
  let onEvents: (events: { type: string; text?: string }[]) => void = () => undefined;
  worker.addEventListener("message", ({ data }) => {
    if (typeof data === "string") onEvents(JSON.parse(data).events);
  });
  const run = <T>(method: string, ...words: unknown[]) => ask<Told<T>>("run", method, ...words);

  return {
    boot: () => ask("boot"),
    load: async (threads) => (await run<number>("load", threads)).value,
    async chat(prompt, tokens) {
      const begin = performance.now();
      let [first, last, text] = [0, 0, ""];
      onEvents = (events) => {
        for (const event of events) {
          if (event.type !== "text_delta") continue;
          last = performance.now();
          first ||= last;
          text += event.text ?? "";
        }
      };
      const { value, runs } = await run<{ input: number; cached: number; output: number }>(
        "chat",
        prompt.system,
        prompt.user,
        tokens,
      );
      const written = runs.slice(-(value.output - 1));
      return {
        first: first - begin,
        decode: last - first,
        steps: value.output - 1,
        prefilled: value.input - value.cached,
        text,
        python: shareOfPython(written),
      } satisfies Answer;
    },
    async call(question) {
      const { value, runs } = await run<Omit<Call, "runs">>("call", question.user, question.tools);
      return { ...value, runs: runs.filter(([tokens]) => tokens > 0).length };
    },
    reuse: async (messages, keep) => (await run<Reuse>("reuse", messages, keep)).value,
    turns: async (count) => (await run<number>("turns", count)).value,
    loadEmbeddings: async (threads) => (await run<number>("load_embeddings", threads)).value,
    embed: async (texts) => (await run<{ milliseconds: number; vectors: number[][] }>("embed", texts)).value,
    phases: async () => (await run<Record<string, number>>("phases")).value,
    memory: () => ask<Memory>("memory"),
    async close() {
      await run("close");
    },
  };
}

/** The part of the time between two ends of runs in which none was asked for. */
function shareOfPython(runs: Runs): number {
  let [waited, whole] = [0, 0];
  for (const [index, [, begin, end]] of runs.entries()) {
    const before = runs[index - 1];
    if (!before) continue;
    whole += end - before[2];
    waited += end - begin;
  }
  return (whole - waited) / whole;
}

/** The same model without Python: a loop over `forward`. */
export function createBridge(): Engine {
  const worker = new Worker(new URL("inference-worker.js", import.meta.url), { type: "module" });
  const bridge: OnnxBridge = connectOnnxBridge(worker);
  const ask = connect(worker);
  let session: OnnxSession | undefined;
  const PIECE = 64;
  const phases: Record<string, number> = {};
  let [step, during] = ["", ""];

  return {
    boot: async () => 0,
    async load(threads) {
      const begin = performance.now();
      const url = new URL("../models/smollm2/", import.meta.url).href;
      let last = begin;
      session = await bridge.load(url, {
        allowDownload: true,
        threads,
        onProgress({ status, file }) {
          const now = performance.now();
          const name = `${step} ${during}`;
          if (step) phases[name] = (phases[name] ?? 0) + now - last;
          [step, during, last] = [status, file, now];
        },
      });
      return performance.now() - begin;
    },
    async chat(prompt, tokens) {
      if (!session) throw new Error("load first");
      await session.reset();
      const begin = performance.now();
      let best = 0;
      for (let at = 0; at < prompt.ids.length; at += PIECE) {
        const reply = await session.forward(Int32Array.from(prompt.ids.slice(at, at + PIECE)), 64);
        best = reply.ids[0] ?? 0;
      }
      const first = performance.now();
      const written = [best];
      for (let step = 1; step < tokens; step++) {
        const reply = await session.forward(Int32Array.of(best), 64);
        best = reply.ids[0] ?? 0;
        written.push(best);
      }
      return {
        first: first - begin,
        decode: performance.now() - first,
        steps: tokens - 1,
        prefilled: prompt.ids.length,
        text: written.join(" "),
      };
    },
    phases: async () => phases,
    memory: async () => ({ model: await ask<number>("memory"), python: null }),
    async close() {
      await session?.close();
    },
  };
}
