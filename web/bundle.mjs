// Bundle the TypeScript: limpet.js, ai-sdk.js and sw.js into build/web/site, the workers into build/web/site/assets, the
// program for Node to build/web/node-host.mjs.
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
const site = join(output, "site");
const assets = join(site, "assets");

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
  loader: { ".css": "text" },
};

rmSync(site, { recursive: true, force: true });
await build({ ...common, entryPoints: ["limpet", "ai-sdk", "sw"].map((name) => `src/${name}.ts`), outdir: site });
await build({
  ...common,
  entryPoints: ["ask", "worker", "inference-worker", "tool-worker"].map((name) => `src/${name}.ts`),
  outdir: assets,
});
await build({
  ...common,
  entryPoints: ["src/node-host.ts"],
  outfile: join(output, "node-host.mjs"),
  platform: "node",
  minify: false,
});

const files = [site, assets].flatMap((folder) => readdirSync(folder).map((name) => join(folder, name)));
for (const file of [...files, join(output, "node-host.mjs")].filter((name) => /\.m?js$/.test(name))) {
  const bytes = readFileSync(file);
  console.log(`${basename(file)} ${bytes.length} bytes, ${gzipSync(bytes, { level: 9 }).length} gzipped`);
}
