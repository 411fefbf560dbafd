// Runs pytest inside Pyodide under Node, over the tests of this repository.
//
//   node --experimental-wasm-jspi run_pyodide.mjs '{"root", "stdlib", "wheels": [...], "words": [...]}'
//
// The repository is mounted, so the very same files are run. Async tests need stack switching (JSPI): Node 24 has it
// behind the flag above. Each line of standard output that begins with "@" is one test's report as JSON.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const settings = JSON.parse(process.argv[2]);
const folder = join(settings.root, "web", "node_modules", "pyodide");
const { loadPyodide } = await import(pathToFileURL(join(folder, "pyodide.mjs")).href);

const pyodide = await loadPyodide({ indexURL: `${folder}/`, stdLibURL: settings.stdlib });
const extractDir = pyodide.runPython("import sysconfig; sysconfig.get_path('purelib')");
for (const wheel of settings.wheels) {
  pyodide.unpackArchive(new Uint8Array(readFileSync(wheel)), "wheel", { extractDir });
}
// Folders of the source tree only: nothing in build/ may be seen from in here.
for (const name of ["runtime", "tests", "examples", "web/tooling", "web/src"]) {
  pyodide.FS.mkdirTree(`/repository/${name}`);
  pyodide.mountNodeFS(`/repository/${name}`, join(settings.root, name));
}
for (const name of ["pyproject.toml", "README.md", "ARCHITECTURE.md", "CHANGELOG.md"]) {
  pyodide.FS.writeFile(`/repository/${name}`, readFileSync(join(settings.root, name)));
}
pyodide.runPython(`
import sys, os
sys.dont_write_bytecode = True
sys.path[:0] = ["/repository", "/repository/runtime", "/repository/web"]
os.chdir("/repository")
import importlib
importlib.invalidate_caches()
import pytest
from tests.hosts import pyodide_plugin

def run(words):
    return int(pytest.main(words.to_py(), plugins=[pyodide_plugin]))
`);
// Not runPythonAsync: that makes a task, and tests look whether a run leaves any behind.
process.exit(await pyodide.globals.get("run").callPromising(settings.words));
