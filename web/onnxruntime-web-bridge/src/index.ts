export { apiRuntime, type OrtModule } from "./api-runtime.ts";
export {
  type Availability,
  type BridgeParts,
  createOnnxBridge,
  type DownloadOptions,
  type LoadOptions,
  type OnnxBridge,
  type Progress,
} from "./bridge.ts";
export type { DeviceMeter } from "./device.ts";
export { type DeviceScope, deviceKey, measureDevice, type ProbeParts } from "./device-probe.ts";
export type { DeviceMemory, DeviceProfile, ExecutionProvider, GpuAdapter, ProbeSpeed } from "./device-profile.ts";
export type { FetchFunction, FetchInit } from "./download.ts";
export { BridgeError, type BridgeErrorData, type BridgeErrorKind } from "./errors.ts";
export type { ElementType, ModelFile, ModelGraph, ModelManifest, StateSlot } from "./manifest.ts";
export type { CachedModel } from "./model-cache.ts";
export { type BridgePort, connectOnnxBridge, serveOnnxBridge } from "./port.ts";
export { answerProbe, workerMeter } from "./probe-worker.ts";
export { type Ranking, rank } from "./rank.ts";
export type { Graph, OnnxRuntime, Room, Tensor, TensorData } from "./runtime.ts";
export type { Forward, OnnxSession } from "./session.ts";
export { type ModelStore, memoryStore, requestPersistence, type StorageState, type StoreWriter } from "./store.ts";
export { browserStore } from "./store-browser.ts";
export { cacheStore } from "./store-cache.ts";
export { opfsStore } from "./store-opfs.ts";
export { type WasmRuntimeOptions, wasmRuntime } from "./wasm-runtime.ts";
