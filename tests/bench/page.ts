/** A page's client for `page.py`: runs an agent, and says when which event came. */

import { type Client, createClient } from "../../web/src/client.ts";

interface Seen {
  /** Milliseconds from the question to the first event, to the last one, and from the first text to the last. */
  readonly first: number;
  readonly last: number;
  readonly text: number;
  readonly deltas: number;
  readonly results: unknown[];
  readonly finish: string;
}

interface Bench {
  start(remote: { model: string; base_url: string; api_key: string } | null): Promise<void>;
  /** With `stopAfter`, the run is stopped so many milliseconds after its first tool was called. */
  run(prompt: string, stopAfter?: number): Promise<Seen>;
}

const site = new URL("./", location.href).href;
const scope = window as unknown as { limpetBench?: Bench };
let client: Client | undefined;

scope.limpetBench = {
  async start(remote) {
    const worker = new Worker(new URL("assets/worker.js", site), { type: "module" });
    client = createClient(worker, {
      agent_url: `${site}agent.py`,
      site_url: site,
      threads: null,
      allow_download: false,
      remote,
    });
    await client.ready;
  },
  async run(prompt, stopAfter) {
    if (client === undefined) throw new Error("start first");
    const results: unknown[] = [];
    const began = performance.now();
    let [first, firstText, lastText, deltas, finish] = [0, 0, 0, 0, ""];
    const run = client.run(crypto.randomUUID(), [{ type: "text", text: prompt }]);
    for await (const event of run) {
      const now = performance.now() - began;
      first ||= now;
      if (event.type === "text_delta") {
        firstText ||= now;
        lastText = now;
        deltas += 1;
      }
      if (event.type === "tool_result") results.push(event.content);
      if (event.type === "tool_call_end" && stopAfter !== undefined) setTimeout(() => run.cancel(), stopAfter);
      if (event.type === "run_end") finish = event.finish_reason;
      if (event.type === "run_error") throw new Error(event.message);
    }
    return { first, last: performance.now() - began, text: lastText - firstText, deltas, results, finish };
  },
};
