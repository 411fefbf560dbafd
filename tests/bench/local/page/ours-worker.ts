/** Python in Pyodide as the page's worker starts it, with `ours.py` in place of the page's commands. */

import { createHostFetch } from "../../../../web/src/host-fetch.ts";
import { createHostInference, type HostInference, type HostSession } from "../../../../web/src/host-inference.ts";
import { bridgeAtNeed } from "../../../../web/src/inference-bridge.ts";
import { connect, serve } from "./calls.ts";

const site = new URL("../", import.meta.url).href;
let ask = connect(new MessageChannel().port1);
const bridge = bridgeAtNeed(() => {
  const worker = new Worker(new URL("inference-worker.js", import.meta.url), { type: "module" });
  ask = connect(worker);
  return worker;
});
/** Each run of the model: tokens, begin and end. */
let runs: [number, number, number][] = [];

function timed(session: HostSession): HostSession {
  const { forward } = session;
  const value: HostSession["forward"] = (ids, k, allowed) => {
    // What was sent is given back by Python once the call is over.
    const count = ids.length;
    const begin = performance.now();
    const job = forward(ids, k, allowed);
    job.promise.then(
      () => runs.push([count, begin, performance.now()]),
      () => undefined,
    );
    return job;
  };
  return Object.defineProperty(session, "forward", { value });
}

const plain = createHostInference(bridge);
const inference: HostInference = {
  ...plain,
  load(...words) {
    const job = plain.load(...words);
    return { promise: job.promise.then(timed), abort: () => job.abort() };
  },
};

interface Pyodide {
  loadPackage(names: string[], options: object): Promise<unknown>;
  runPython(text: string): { create(...words: unknown[]): Program };
  readonly _module: { readonly HEAP8: Int8Array };
}

type Program = Record<string, (words: string) => Promise<string>>;

let pyodide: Pyodide;
let program: Program;

async function boot(): Promise<number> {
  const begin = performance.now();
  const text = async (path: string) => (await fetch(site + path)).text();
  const loader = await import(`${site}pyodide/pyodide.mjs`);
  pyodide = await loader.loadPyodide({
    indexURL: `${site}pyodide/`,
    packageBaseUrl: `${site}python/`,
    lockFileContents: text("python/pyodide-lock.json"),
    enableRunUntilComplete: false,
  });
  await pyodide.loadPackage(["limpet", "limpet-local"], { messageCallback: () => undefined });
  const source = await text("ours.py");
  const post = (report: string) => self.postMessage(report);
  const platform = { fetch: createHostFetch(fetch.bind(self), () => true), inference };
  program = pyodide.runPython(`${source}\nBench`).create(platform, `${site}models/`, post);
  return performance.now() - begin;
}

serve({
  boot,
  async run(method: string, ...words: unknown[]) {
    runs = [];
    const reply: string | undefined = await program[method]?.(JSON.stringify(words));
    return { value: JSON.parse(reply ?? "null"), runs };
  },
  async memory() {
    return { model: await ask<number>("memory"), python: pyodide._module.HEAP8.length };
  },
});
