// What each module of a project costs to import, in fresh interpreters of the Pyodide that Cloudflare runs:
//
//   node --experimental-wasm-jspi imports.mjs PYODIDE STDLIB PROJECT ROUNDS
//
// Prints JSON: processor milliseconds of all imports together, and milliseconds of each module by itself; medians.
import { readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";

const [folder, stdlib, project, rounds] = process.argv.slice(2);
const { loadPyodide } = await import(join(folder, "pyodide.mjs"));
const SITE = "/lib/python3.14/site-packages";
const WATCH = `
import importlib._bootstrap as bootstrap, json, sys, time
sys.dont_write_bytecode = True
_stack, _rows, _load = [], {}, bootstrap._load_unlocked
def _watched(spec):
    _stack.append(0.0)
    began = time.perf_counter()
    try:
        return _load(spec)
    finally:
        took = time.perf_counter() - began
        _rows[spec.name] = (took - _stack.pop()) * 1000
        if _stack:
            _stack[-1] += took
bootstrap._load_unlocked = _watched
`;

const median = (values) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];

function* files(root) {
  for (const entry of readdirSync(root, { recursive: true, withFileTypes: true }))
    if (entry.isFile() && entry.name !== "pyvenv.cfg") yield join(entry.parentPath, entry.name);
}

async function once() {
  const pyodide = await loadPyodide({ indexURL: folder, stdLibURL: stdlib });
  for (const root of [join(project, "src"), join(project, "python_modules")])
    for (const path of files(root)) {
      const target = `${SITE}/${relative(root, path)}`;
      pyodide.FS.mkdirTree(target.slice(0, target.lastIndexOf("/")));
      pyodide.FS.writeFile(target, readFileSync(path));
    }
  // What Cloudflare gives the SDK; nothing of it is called while modules are imported.
  const nothing = new Proxy(class {}, { get: (_, name) => (name === "then" ? undefined : class {}) });
  const workers = { DurableObject: class {}, WorkerEntrypoint: class {}, WorkflowEntrypoint: class {}, env: {} };
  pyodide.registerJsModule("_pyodide_entrypoint_helper", {
    cloudflareWorkersModule: workers,
    cloudflareSocketsModule: nothing,
    doAnImport: () => workers,
    patchWaitUntil: () => undefined,
    patch_env_helper: () => undefined,
  });
  pyodide.registerJsModule("_cloudflare_compat_flags", {});
  pyodide.runPython(WATCH);
  const began = process.cpuUsage();
  pyodide.runPython("import entry");
  const { user, system } = process.cpuUsage(began);
  return { cpu: (user + system) / 1000, modules: JSON.parse(pyodide.runPython("json.dumps(_rows)")) };
}

const runs = [];
for (let round = 0; round < Number(rounds); round++) runs.push(await once());
const names = Object.keys(runs[0].modules);
const modules = Object.fromEntries(names.map((name) => [name, median(runs.map((run) => run.modules[name] ?? 0))]));
console.log(JSON.stringify({ cpu: median(runs.map((run) => run.cpu)), modules }));
process.exit(0);
