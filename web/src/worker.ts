/**
 * The agent's worker: Python in Pyodide, with fetch and storage from here and local models from a second worker.
 *
 * The first message is the `start` command; it says where the files are. All messages are JSON text.
 */

import { connectOnnxBridge, type OnnxBridge } from "onnxruntime-web-bridge";
import { bootPython, type Receive } from "./boot.ts";
import type { Command, ErrorReport, StartCommand } from "./generated/wire.ts";
import { createHostFetch } from "./host-fetch.ts";
import { createHostInference } from "./host-inference.ts";
import { createIndexedDbStorage } from "./host-storage.ts";

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
    const booted = await bootPython(
      {
        pyodideUrl: `${site}pyodide/`,
        indexUrl: `${site}pyodide/`,
        packageUrl: `${site}python/`,
        lockFile: () => readText(`${site}python/pyodide-lock.json`),
      },
      {
        fetch: createHostFetch(fetch.bind(self), () => navigator.onLine),
        storage: createIndexedDbStorage("limpet", indexedDB),
        inference: createHostInference(() => {
          bridge ??= startInferenceWorker();
          return bridge;
        }),
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

let bridge: OnnxBridge | null = null;

/** Local models run in a worker of their own, so that a stop is heard while a prompt is being read. */
function startInferenceWorker(): OnnxBridge {
  const worker = new Worker(new URL("inference-worker.js", import.meta.url), { type: "module" });
  worker.addEventListener("error", () => {
    // Its open calls fail with `closed`; the next need starts another one.
    bridge = null;
    worker.terminate();
  });
  return connectOnnxBridge(worker);
}

async function readText(url: string): Promise<string> {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url}: the server said ${response.status}`);
  return response.text();
}

function firstLine(text: string): string {
  return text.split("\n", 1)[0] ?? "";
}
