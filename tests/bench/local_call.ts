/** The browser's half of `local_call.py`: whole runs through the agent worker, and the same forwards on the bridge alone. */

import { connectOnnxBridge, type OnnxSession } from "onnxruntime-web-bridge";
import { type Client, createClient } from "../../web/src/client.ts";

interface Bench {
  start(threads: number): Promise<void>;
  /** Load the model without an agent. */
  startAlone(threads: number): Promise<void>;
  /** Milliseconds from the question to the end of the last tool call, and what was called. */
  run(prompt: string): Promise<{ milliseconds: number; calls: string[] }>;
  /** Milliseconds that the forwards of one answer take without Python. */
  replay(toolset: string, prefix: number[], feeds: number[][]): Promise<number>;
}

const site = new URL("./", location.href).href;
const scope = window as unknown as { limpetBench?: Bench };
let client: Client | undefined;
let session: OnnxSession | undefined;

scope.limpetBench = {
  async start(threads) {
    const worker = new Worker(new URL("assets/worker.js", site), { type: "module" });
    client = createClient(worker, {
      agent_url: `${site}agent.py`,
      site_url: site,
      threads,
      allow_download: true,
      remote: null,
    });
    await client.ready;
    await client.download("needle");
  },
  async startAlone(threads) {
    const bridge = connectOnnxBridge(new Worker(new URL("assets/inference-worker.js", site), { type: "module" }));
    session = await bridge.load(`${site}models/needle/`, { allowDownload: true, threads });
  },
  async run(prompt) {
    if (client === undefined) throw new Error("start first");
    const calls: string[] = [];
    const begin = performance.now();
    let end = begin;
    for await (const event of client.run(crypto.randomUUID(), [{ type: "text", text: prompt }])) {
      if (event.type === "tool_call_end") {
        end = performance.now();
        calls.push(`${event.name} ${event.arguments}`);
      }
      if (event.type === "run_error") throw new Error(event.message);
      if (event.type === "run_end" && calls.length === 0) end = performance.now();
    }
    return { milliseconds: end - begin, calls };
  },
  async replay(toolset, prefix, feeds) {
    if (session === undefined) throw new Error("start first");
    if (!(await session.restore(toolset))) {
      await session.reset();
      for (let at = 0; at < prefix.length; at += 64) {
        await session.forward(Int32Array.from(prefix.slice(at, at + 64)), 1);
      }
      await session.snapshot(toolset);
      await session.restore(toolset);
    }
    const begin = performance.now();
    for (const ids of feeds) await session.forward(Int32Array.from(ids), 32);
    return performance.now() - begin;
  },
};
