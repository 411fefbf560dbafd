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
        snapshot: () => readSnapshotFile(`${site}python/snapshot.bin`),
        readLibrary: readAtOnce,
      },
      {
        fetch: createHostFetch(fetch.bind(self), () => navigator.onLine),
        storage: createIndexedDbStorage("limpet", indexedDB),
        inference: createHostInference(bridgeAtNeed(startInferenceWorker)),
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

/** A site may have none: then Python starts from its files. */
async function readSnapshotFile(url: string): Promise<Uint8Array | undefined> {
  const response = await fetch(url);
  return response.ok ? new Uint8Array(await response.arrayBuffer()) : undefined;
}

/** Wait without a promise, which only a worker may: an import in Python can't wait for one. */
function readAtOnce(url: string): Uint8Array {
  const request = new XMLHttpRequest();
  request.open("GET", url, false);
  request.responseType = "arraybuffer";
  request.send();
  if (request.status !== 200) throw new Error(`${url}: the server said ${request.status}`);
  return new Uint8Array(request.response as ArrayBuffer);
}

async function readText(url: string): Promise<string> {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url}: the server said ${response.status}`);
  return response.text();
}

function firstLine(text: string): string {
  return text.split("\n", 1)[0] ?? "";
}
