// The same runs inside Pyodide, with its own event loop ("stock") or ours: lines as in ours.py, `["loop", "name", count]`.
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
pyodide.runPython(`
import sys
sys.dont_write_bytecode = True
sys.path[:0] = ["/repository", "/repository/runtime"]

import asyncio
from pyodide.webloop import WebLoop
from limpet.hosts.loop import install_drain_loop
from tests.bench.loop import ours

async def use(loop):
    if loop == "ours":
        install_drain_loop()
    else:
        asyncio.get_running_loop().__class__ = WebLoop

async def measure(name, count):
    return await ours.measure(name, count)
`);
const [use, measure] = ["use", "measure"].map((name) => pyodide.globals.get(name));
for await (const line of createInterface({ input: process.stdin })) {
  const [loop, name, count] = JSON.parse(line);
  await use(loop);
  console.log(await measure(name, count));
}
