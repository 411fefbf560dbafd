// Bundle the TypeScript: what the page loads into build/web/assets, the program for Node to build/web/node-host.mjs.
//
//   node web/bundle.mjs [OUTPUT_FOLDER]
//
// Prints the size of each file, raw and as gzip sends it.
import { readdirSync, readFileSync, rmSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const web = fileURLToPath(new URL(".", import.meta.url));
const output = resolve(process.argv[2] ?? join(web, "..", "build", "web"));
const assets = join(output, "assets");

/** @type {import("esbuild").BuildOptions} */
const common = {
  absWorkingDir: web,
  bundle: true,
  format: "esm",
  target: "es2022",
  // The bridge is a package of this workspace: take its source, not a build of it.
  conditions: ["source"],
  minify: true,
  sourcemap: "linked",
  legalComments: "none",
  logLevel: "warning",
};

rmSync(assets, { recursive: true, force: true });
await build({
  ...common,
  entryPoints: ["page", "ask", "worker", "inference-worker"].map((name) => `src/${name}.ts`),
  outdir: assets,
});
await build({
  ...common,
  entryPoints: ["src/node-host.ts"],
  outfile: join(output, "node-host.mjs"),
  platform: "node",
  minify: false,
});

const files = [...readdirSync(assets).map((name) => join(assets, name)), join(output, "node-host.mjs")];
for (const file of files.filter((name) => /\.m?js$/.test(name))) {
  const bytes = readFileSync(file);
  console.log(`${basename(file)} ${bytes.length} bytes, ${gzipSync(bytes, { level: 9 }).length} gzipped`);
}
