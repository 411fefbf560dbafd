// The same runs inside Pyodide, with its own event loop ("stock") or ours: lines as in ours.py, `["loop", "name", count]`.
//
//   node --experimental-wasm-jspi pyodide.mjs
//
// Needs build/python/python_stdlib.zip.
import { answerLines, startPyodide } from "../pyodide.mjs";

const pyodide = await startPyodide({ enableRunUntilComplete: false });
pyodide.runPython(`
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
await answerLines(async (line) => {
  const [loop, name, count] = JSON.parse(line);
  await use(loop);
  return measure(name, count);
});
