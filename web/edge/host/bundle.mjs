// Bundles Pyodide's own two files for workerd, with our shims in the place of what workerd does not have.
//
//   node bundle.mjs OUTPUT_FOLDER
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = fileURLToPath(new URL(".", import.meta.url));
const output = resolve(process.argv[2]);

await build({
  absWorkingDir: here,
  entryPoints: [join(here, "pyodide-entry.mjs")],
  outfile: join(output, "pyodide.bundle.mjs"),
  bundle: true,
  format: "esm",
  platform: "neutral",
  target: "es2022",
  minify: true,
  legalComments: "none",
  logLevel: "error",
  external: ["node:*", "ws", "./shim.mjs"],
  inject: [join(here, "inject.mjs")],
  define: {
    process: "undefined",
    "globalThis.process": "undefined",
    require: "undefined",
    Bun: "undefined",
    Deno: "undefined",
    "import.meta.url": '"https://pyodide.invalid/pyodide.asm.mjs"',
    WebAssembly: "__WA",
    location: "__loc",
    fetch: "__fetch",
  },
});
