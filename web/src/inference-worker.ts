/** The worker of local models: onnxruntime-web, served to the worker that started this one. */

import { type BridgePort, createOnnxBridge, serveOnnxBridge, wasmRuntime } from "onnxruntime-web-bridge";

const runtime = wasmRuntime(new URL("../ort/ort-wasm-simd-threaded.mjs", import.meta.url));
// TypeScript takes `self` for a window's, whose `postMessage` is another one.
serveOnnxBridge(createOnnxBridge(runtime), self as unknown as BridgePort);
