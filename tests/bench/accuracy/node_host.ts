/**
 * The other end of `node_host.py`: onnxruntime-web's plain wasm build in Node, stepped by lines of JSON.
 *
 * Standard input has one request a line, standard output one reply to each, in order; a failure is `{"error": ...}`.
 * Arguments: the folder of the models, `ort-wasm-simd-threaded.mjs`, the number of threads.
 */

import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";
import { createOnnxBridge, memoryStore, type OnnxSession, wasmRuntime } from "onnxruntime-web-bridge";
import { fileFetch } from "onnxruntime-web-bridge/node";

type Request =
  | { op: "load"; model: string }
  | { op: "read"; name: string }
  | { op: "forward"; ids: number[]; k: number; allowed: number[] | null }
  | { op: "reset" }
  | { op: "rewind"; length: number }
  | { op: "snapshot" | "restore"; key: string };

const [models = "", ort = "", threads = "1"] = process.argv.slice(2);
const bridge = createOnnxBridge(wasmRuntime(pathToFileURL(ort)), { store: memoryStore(), fetch: fileFetch });
let session: OnnxSession | undefined;

async function answer(request: Request): Promise<unknown> {
  if (request.op === "load") {
    const url = pathToFileURL(`${models}/${request.model}/`).href;
    session = await bridge.load(url, { allowDownload: true, threads: Number(threads) });
    return { manifest: session.manifest };
  }
  if (session === undefined) throw new Error("load first");
  switch (request.op) {
    case "read":
      return { base64: Buffer.from(await session.read(request.name)).toString("base64") };
    case "forward": {
      const allowed = request.allowed && Int32Array.from(request.allowed);
      const reply = await session.forward(Int32Array.from(request.ids), request.k, allowed);
      return { ...reply, ids: [...reply.ids], logits: [...reply.logits], length: session.length };
    }
    case "reset":
      await session.reset();
      return {};
    case "rewind":
      return { done: await session.rewind(request.length), length: session.length };
    case "snapshot":
      await session.snapshot(request.key);
      return {};
    case "restore":
      return { found: await session.restore(request.key), length: session.length };
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  const reply = await answer(JSON.parse(line) as Request).catch((error: unknown) => ({ error: String(error) }));
  process.stdout.write(`${JSON.stringify(reply)}\n`);
}
await bridge.close();
// Threads of ONNX Runtime would keep the process alive.
process.exit(0);
