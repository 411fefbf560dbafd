// The same sessions inside Pyodide with our event loop: lines as in ours.py.
//
//   node --experimental-wasm-jspi pyodide.mjs
//
// Needs build/python/python_stdlib.zip; our sources are mounted as they are.
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../../..", import.meta.url));
const { loadPyodide } = await import(`${root}web/node_modules/pyodide/pyodide.mjs`);
const pyodide = await loadPyodide({
  indexURL: `${root}web/node_modules/pyodide/`,
  stdLibURL: `${root}build/python/python_stdlib.zip`,
  enableRunUntilComplete: false,
});
for (const name of ["runtime", "tests"]) {
  pyodide.FS.mkdirTree(`/repository/${name}`);
  pyodide.mountNodeFS(`/repository/${name}`, `${root}${name}`);
}
// What malloc has given out (`uordblks`): wasm memory itself never shrinks, and would hide what was used before.
const usedBytes = () => pyodide._module.HEAPU32[(pyodide._module._mallinfo() >> 2) + 7];
pyodide.runPython(`
import sys
sys.dont_write_bytecode = True
sys.path[:0] = ["/repository", "/repository/runtime"]

import json
from limpet.hosts.loop import install_drain_loop
from tests.bench.sessions import ours

async def answer(line, used_bytes):
    install_drain_loop()
    what, count = json.loads(line)
    return json.dumps(await (ours.weigh(count, used_bytes) if what == "weigh" else ours.run_many(count)))
`);
const answer = pyodide.globals.get("answer");
for await (const line of createInterface({ input: process.stdin })) console.log(await answer(line, usedBytes));
