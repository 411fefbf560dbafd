/**
 * The agent's worker without a browser: Pyodide and onnxruntime-web in Node, the same Python entry point.
 *
 * Standard input has one command a line (`start` first). Standard output has one JSON object a line: the events of
 * runs, and an `error` report when something else failed; all other reports go to standard error. The process ends
 * after the last event of a run with 0 (`run_end`) or 1 (`run_error`), and with 1 when the agent can't be started.
 *
 * Pyodide and ONNX Runtime are read from the site folder beside this file: Node can't import from a web address.
 */

import { readFile } from "node:fs/promises";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { createOnnxBridge, memoryStore, type OnnxBridge, wasmRuntime } from "onnxruntime-web-bridge";
import { fileFetch } from "onnxruntime-web-bridge/node";
import { bootPython } from "./boot.ts";
import type { ApprovalWire, ApproveCommand, Report } from "./generated/wire.ts";
import { createHostFetch } from "./host-fetch.ts";
import { createHostInference } from "./host-inference.ts";
import { createMemoryStorage } from "./host-storage.ts";

const site = new URL("../site/", import.meta.url);

let bridge: OnnxBridge | null = null;

function startBridge(): OnnxBridge {
  const runtime = wasmRuntime(new URL("ort/ort-wasm-simd-threaded.mjs", site));
  return createOnnxBridge(runtime, { store: memoryStore(), fetch: fileFetch });
}

function print(text: string): void {
  const report = JSON.parse(text) as Report;
  switch (report.type) {
    case "events":
      for (const event of report.events) {
        process.stdout.write(`${JSON.stringify(event)}\n`);
        if (event.type === "approval") refuse(event);
        if (event.type === "run_end") leave(0);
        if (event.type === "run_error") leave(1);
      }
      break;
    case "error":
      process.stdout.write(`${text}\n`);
      leave(1);
      break;
    default:
      process.stderr.write(`${text}\n`);
  }
}

/** Nobody sits here who could approve a call. */
function refuse({ run_id, call_id }: ApprovalWire): void {
  const command: ApproveCommand = { type: "approve", run_id, call_id, approved: false };
  // Python waits for the answer from its next step on; it is in the middle of telling us now.
  setTimeout(() => receive(JSON.stringify(command)));
}

/** Threads of ONNX Runtime would keep the process alive. */
function leave(code: number): void {
  process.stdout.write("", () => process.exit(code));
}

const receive = await bootPython(
  {
    pyodideUrl: new URL("pyodide/", site).href,
    indexUrl: fileURLToPath(new URL("pyodide/", site)),
    packageUrl: fileURLToPath(new URL("python/", site)),
    lockFile: () => readFile(new URL("python/pyodide-lock.json", site), "utf8"),
  },
  {
    fetch: createHostFetch(fileFetch as typeof fetch, () => true),
    storage: createMemoryStorage(),
    inference: createHostInference(() => {
      bridge ??= startBridge();
      return bridge;
    }),
  },
  print,
);

for await (const line of createInterface({ input: process.stdin })) {
  if (line.trim() !== "") receive(line);
}
