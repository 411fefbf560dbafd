/** The worker of local models: onnxruntime-web behind the port that the first message brings. */

import { browserStore, createOnnxBridge, serveOnnxBridge, wasmRuntime } from "onnxruntime-web-bridge";

self.onmessage = async (message: MessageEvent<MessagePort>) => {
  const runtime = wasmRuntime(new URL("../ort/ort-wasm-simd-threaded.mjs", import.meta.url));
  // A port keeps its messages until it is served, so nothing is lost while the store is tried out.
  const store = await browserStore();
  serveOnnxBridge(createOnnxBridge(runtime, { store, fetch: (url, init) => fetch(url, init) }), message.data);
};
