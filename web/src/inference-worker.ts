/**
 * The worker of local models: onnxruntime-web, served to the worker that started this one.
 *
 * Started under the name of a probe it measures the device instead, and is ended by whoever started it.
 */

import {
  answerProbe,
  type BridgePort,
  createOnnxBridge,
  serveOnnxBridge,
  wasmRuntime,
  workerMeter,
} from "onnxruntime-web-bridge";

const PROBE = "limpet-probe";
const startRuntime = () => wasmRuntime(new URL("../ort/ort-wasm-simd-threaded.mjs", import.meta.url));

if (self.name === PROBE) {
  void answerProbe({ wasm: startRuntime }, (profile) => self.postMessage(profile));
} else {
  const meter = workerMeter(() => new Worker(import.meta.url, { type: "module", name: PROBE }));
  // TypeScript takes `self` for a window's, whose `postMessage` is another one.
  serveOnnxBridge(createOnnxBridge(startRuntime(), { meter }), self as unknown as BridgePort);
}
