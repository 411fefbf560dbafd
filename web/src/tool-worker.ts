/**
 * A worker of the pool (`tool-pool.ts`): Python from the snapshot and the compiled module that it is handed, and
 * `limpet.entrypoints.pool_worker` in it.
 */

import { startPython } from "./boot.ts";
import { pageFiles } from "./page-files.ts";
import type { PoolMessage } from "./tool-pool.ts";

/** The first message; the others are calls. */
export interface ToolWorkerStart {
  readonly site: string;
  /** Null where the compiled module can't be had: then the worker starts from the files. */
  readonly module: WebAssembly.Module | null;
  readonly snapshot: Uint8Array | null;
  /** Shared: what is written there interrupts Python. Null where memory can't be shared. */
  readonly interrupt: Uint8Array | null;
}

type Answer = (call: string, report: (content: string) => void) => Promise<string>;

let answer: Promise<Answer> | null = null;

self.onmessage = ({ data }: MessageEvent<ToolWorkerStart | string>) => {
  if (typeof data !== "string") answer = start(data);
  else if (answer) void reply(answer, data);
};

async function start({ site, module, snapshot, interrupt }: ToolWorkerStart): Promise<Answer> {
  const files = pageFiles(site);
  const pyodide = await startPython({
    ...files,
    snapshot: snapshot ? async () => snapshot : undefined,
    compile: module ? async () => module : undefined,
  });
  if (interrupt) pyodide.setInterruptBuffer(interrupt);
  return pyodide.pyimport("limpet.entrypoints.pool_worker").answer;
}

async function reply(started: Promise<Answer>, call: string): Promise<void> {
  try {
    const answerIt = await started;
    post({ answer: await answerIt(call, (progress) => post({ progress })) });
  } catch (error) {
    // What a tool raises is part of an answer, so this is about the interpreter.
    post({ failure: `its worker failed (${error instanceof Error ? error.message : String(error)})` });
  }
}

function post(message: PoolMessage): void {
  self.postMessage(message);
}
