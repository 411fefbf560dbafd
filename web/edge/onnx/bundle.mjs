// Bundles the Worker of local models: the bridge and ONNX Runtime's own module, whose wasm stays a file beside it.
//
//   node bundle.mjs OUTPUT_FOLDER
import { copyFileSync, mkdirSync } from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = fileURLToPath(new URL(".", import.meta.url));
const output = resolve(process.argv[2]);
const WASM = "ort-wasm-simd-threaded.wasm";

mkdirSync(output, { recursive: true });
await build({
  absWorkingDir: here,
  entryPoints: [join(here, "worker.ts")],
  outfile: join(output, "worker.mjs"),
  bundle: true,
  format: "esm",
  platform: "neutral",
  target: "es2022",
  // The bridge is a package of this repository: take its source, not a build of it.
  conditions: ["source"],
  minify: true,
  legalComments: "none",
  logLevel: "error",
  external: ["cloudflare:*", "module", "worker_threads", `./${WASM}`],
  // It must not take this place for Node.
  define: { "globalThis.process": "undefined", "import.meta.url": '"https://models.invalid/ort.mjs"' },
});
copyFileSync(createRequire(import.meta.url).resolve(`onnxruntime-web/${WASM}`), join(output, WASM));
