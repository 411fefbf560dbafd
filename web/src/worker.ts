/**
 * The agent's worker: Python in Pyodide, with fetch and storage from here and local models from a second worker.
 *
 * The first message is the `start` command; it says where the files are. All messages are JSON text.
 */

import { bootPython, type Receive } from "./boot.ts";
import type { Command, ErrorReport, StartCommand } from "./generated/wire.ts";
import { createHostFetch } from "./host-fetch.ts";
import { createHostInference } from "./host-inference.ts";
import { createIndexedDbStorage } from "./host-storage.ts";
import { bridgeAtNeed } from "./inference-bridge.ts";
import { compileModule, fetchSnapshot, pageFiles, readSnapshotFile } from "./page-files.ts";
import { createToolPool, type HostPool, poolSize } from "./tool-pool.ts";
import type { ToolWorkerStart } from "./tool-worker.ts";

/** What Pyodide finds in its interrupt buffer when Python is to stop. */
const KEYBOARD_INTERRUPT = 2;

const waiting: string[] = [];
let receive: Receive | null = null;

self.onmessage = (message: MessageEvent<string>) => {
  if (receive) {
    receive(message.data);
    return;
  }
  waiting.push(message.data);
  const command = JSON.parse(message.data) as Command;
  if (command.type === "start") void start(command);
};

async function start(command: StartCommand): Promise<void> {
  try {
    const site = command.site_url;
    const compile = once(() => compileModule(site));
    const booted = await bootPython(
      { ...pageFiles(site), snapshot: () => readSnapshotFile(site), compile },
      {
        fetch: createHostFetch(fetch.bind(self), () => navigator.onLine),
        storage: createIndexedDbStorage("limpet", indexedDB),
        inference: createHostInference(bridgeAtNeed(startInferenceWorker)),
        pool: poolOf(site, compile),
      },
      (report) => self.postMessage(report),
    );
    receive = booted;
    for (const text of waiting.splice(0)) booted(text);
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    console.error(detail);
    const report: ErrorReport = {
      type: "error",
      error: {
        name: "StartError",
        message: `Python could not be started here: ${firstLine(detail)}`,
        is_retryable: true,
      },
    };
    self.postMessage(JSON.stringify(report));
  }
}

/** Local models run in a worker of their own, so that a stop is heard while a prompt is being read. */
function startInferenceWorker(): Worker {
  return new Worker(new URL("inference-worker.js", import.meta.url), { type: "module" });
}

/** All start from this worker's compiled module and from the snapshot, which is worth its bytes when many do. */
function poolOf(site: string, compile: () => Promise<WebAssembly.Module>): HostPool {
  const snapshot = once(async () => share(await fetchSnapshot(site)));
  let count = 0;
  return createToolPool(async () => {
    count += 1;
    const name = `limpet-tool-${count}`;
    const worker = new Worker(new URL("tool-worker.js", import.meta.url), { type: "module", name });
    // While the worker reads its script. What can't be had it does without.
    const [module, bytes] = await Promise.all([compile().catch(() => null), snapshot().catch(() => null)]);
    const interrupt = self.crossOriginIsolated ? new Uint8Array(new SharedArrayBuffer(1)) : null;
    const start: ToolWorkerStart = { site, module, snapshot: bytes, interrupt };
    worker.postMessage(start);
    // Chromium (156) lets a worker that computes go on for two seconds after `terminate`.
    const end = worker.terminate.bind(worker);
    worker.terminate = () => {
      if (interrupt) interrupt[0] = KEYBOARD_INTERRUPT;
      end();
    };
    return worker;
  }, poolSize(navigator.hardwareConcurrency));
}

/** Put bytes where all workers see them, if the page may; else each gets a copy. */
function share(bytes: Uint8Array | undefined): Uint8Array | null {
  if (!bytes || !self.crossOriginIsolated) return bytes ?? null;
  const shared = new Uint8Array(new SharedArrayBuffer(bytes.length));
  shared.set(bytes);
  return shared;
}

function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => {
    made ??= make();
    return made;
  };
}

function firstLine(text: string): string {
  return text.split("\n", 1)[0] ?? "";
}
