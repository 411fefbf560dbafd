/** What the tests call from outside, as `bridgeTest`. It has no logic of its own. */

import { connectOnnxBridge, type OnnxBridge, type OnnxSession, type Progress } from "../../src/index.ts";

declare global {
  interface Window {
    bridgeTest: typeof bridgeTest;
  }
}

let worker: Worker | undefined;
let bridge: OnnxBridge | undefined;
let session: OnnxSession | undefined;

const bridgeTest = {
  start(store: string): void {
    const name = JSON.stringify({ store, ort: new URL("ort/ort-wasm-simd-threaded.mjs", location.href).href });
    worker = new Worker(new URL("worker.js", location.href), { type: "module", name });
    bridge = connectOnnxBridge(worker);
  },

  availability: (model: string) => opened(bridge).availability(address(model)),

  /** The steps that were reported, without repetitions. */
  async load(model: string, allowDownload: boolean, threads: number): Promise<string[]> {
    const steps: string[] = [];
    const onProgress = ({ status, file }: Progress) => {
      if (steps.at(-1) !== `${status} ${file}`) steps.push(`${status} ${file}`);
    };
    session = await opened(bridge).load(address(model), { allowDownload, threads, onProgress });
    return steps;
  },

  /** Start with a prompt in pieces, then take the best token again and again. */
  async greedy(prompt: number[], count: number): Promise<{ tokens: number[]; logit: number; confidence: number }> {
    const running = opened(session);
    await running.reset();
    const middle = prompt.length >> 1;
    await running.forward(Int32Array.from(prompt.slice(0, middle)), 1);
    let reply = await running.forward(Int32Array.from(prompt.slice(middle)), 5);
    const tokens: number[] = [];
    while (tokens.length < count) {
      const best = reply.ids[0] ?? -1;
      tokens.push(best);
      reply = await running.forward(Int32Array.of(best), 5);
    }
    return { tokens, logit: reply.logits[0] ?? 0, confidence: reply.scalars.confidence ?? 0 };
  },

  snapshot: (key: string) => opened(session).snapshot(key),
  restore: (key: string) => opened(session).restore(key),
  rewind: (length: number) => opened(session).rewind(length),
  length: () => opened(session).length,

  async best(ids: number[]): Promise<number[]> {
    return [...(await opened(session).forward(Int32Array.from(ids), 5)).ids];
  },

  async embed(batch: number[][]): Promise<number[]> {
    const lengths = Int32Array.from(batch, (sequence) => sequence.length);
    return [...(await opened(session).embed(Int32Array.from(batch.flat()), lengths))];
  },

  /** Milliseconds of single steps, sorted. */
  async time(ids: number[]): Promise<number[]> {
    const times: number[] = [];
    for (const id of ids) {
      const start = performance.now();
      await opened(session).forward(Int32Array.of(id), 5);
      times.push(performance.now() - start);
    }
    return times.sort((a, b) => a - b);
  },

  close: () => opened(session).close(),

  async stop(): Promise<void> {
    await bridge?.close();
    worker?.terminate();
  },
};

function address(model: string): string {
  return new URL(`models/${model}/`, location.href).href;
}

function opened<T>(value: T | undefined): T {
  if (value === undefined) throw new Error("not there yet");
  return value;
}

window.bridgeTest = bridgeTest;
