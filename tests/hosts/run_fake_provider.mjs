// Runs Limpet inside Pyodide under Node against the fake provider, with the fetch that `build.py ask --host node` has.
//
//   node run_fake_provider.mjs '{"root", "stdlib"}' < cases.json
//
// Prints the list of results as JSON.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const settings = JSON.parse(process.argv[2]);
const at = (...names) => pathToFileURL(join(settings.root, ...names)).href;
const folder = join(settings.root, "web", "node_modules", "pyodide");
const { loadPyodide } = await import(at("web", "node_modules", "pyodide", "pyodide.mjs"));
const { createHostFetch } = await import(at("web", "src", "host-fetch.ts"));

const pyodide = await loadPyodide({
  indexURL: `${folder}/`,
  stdLibURL: settings.stdlib,
  // As in a page: nothing here may need stack switching.
  enableRunUntilComplete: false,
});
for (const name of ["runtime", "tests/hosts"]) {
  pyodide.FS.mkdirTree(`/repository/${name}`);
  pyodide.mountNodeFS(`/repository/${name}`, join(settings.root, name));
}
pyodide.runPython(`
import sys
sys.dont_write_bytecode = True
sys.path[:0] = ["/repository/runtime", "/repository/tests/hosts"]
import importlib
importlib.invalidate_caches()
`);
const runs = pyodide.pyimport("fake_provider_runs");
const results = await runs.run_cases(createHostFetch(fetch, () => true), readFileSync(0, "utf8"));
process.stdout.write(results, () => process.exit(0));
