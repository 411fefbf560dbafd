/** The package ships no types for this export. */
declare module "onnxruntime-web/ort-wasm-simd-threaded.mjs" {
  import type { WasmModuleFactory } from "../src/wasm-module.ts";

  const factory: WasmModuleFactory;
  // biome-ignore lint/style/noDefaultExport: it describes a module that has one.
  export default factory;
}
