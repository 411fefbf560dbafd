/** The worker of the test page: a bridge behind a port. Its name tells the kind of store and where the runtime lies. */

import {
  type BridgePort,
  browserStore,
  cacheStore,
  createOnnxBridge,
  opfsStore,
  serveOnnxBridge,
  wasmRuntime,
} from "../../src/index.ts";

const { store, ort } = JSON.parse(self.name) as { store: keyof typeof stores; ort: string };
const stores = { browser: browserStore, cache: cacheStore, opfs: opfsStore };
// To the types of this project `self` is a window; here it is a worker's scope.
const scope = self as unknown as BridgePort;
serveOnnxBridge(createOnnxBridge(wasmRuntime(ort), { store: stores[store]() }), scope);
