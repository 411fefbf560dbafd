/** The page's worker of local models, which also tells how large its memory is. */

import { type BridgePort, createOnnxBridge, serveOnnxBridge, wasmRuntime } from "onnxruntime-web-bridge";
import { serve } from "./calls.ts";
import { memoryBytes, watchMemories } from "./memories.ts";

watchMemories();
serve({ memory: memoryBytes });
const runtime = wasmRuntime(new URL("../ort/ort-wasm-simd-threaded.mjs", import.meta.url));
serveOnnxBridge(createOnnxBridge(runtime), self as unknown as BridgePort);
