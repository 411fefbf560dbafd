// The process that reads with ours inside Pyodide: the same readers, the same lines in and out as serve_ours.py.
//
//   node --experimental-wasm-jspi serve_pyodide.mjs EVENTS PIECE_BYTES
//
// Needs build/site (python3 build.py site) for Pyodide's standard library; our sources are mounted as they are.
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../../..", import.meta.url));
const { loadPyodide } = await import(`${root}web/node_modules/pyodide/pyodide.mjs`);
const pyodide = await loadPyodide({
  indexURL: `${root}web/node_modules/pyodide/`,
  stdLibURL: `${root}build/python/python_stdlib.zip`,
});
for (const name of ["runtime", "tests"]) {
  pyodide.FS.mkdirTree(`/repository/${name}`);
  pyodide.mountNodeFS(`/repository/${name}`, `${root}${name}`);
}
pyodide.runPython(`
import sys
sys.dont_write_bytecode = True
sys.path[:0] = ["/repository", "/repository/runtime"]
from tests.bench.parse_speed.ours import READERS
from tests.bench.parse_speed.reading import Bench
`);
const bench = pyodide.runPython(`Bench(READERS, ${Number(process.argv[2])}, ${Number(process.argv[3])})`);
for await (const line of createInterface({ input: process.stdin })) {
  const [reader, stream] = JSON.parse(line);
  console.log(bench.read(reader, stream));
}
