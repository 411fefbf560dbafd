// The same sessions inside Pyodide with our event loop: lines as in ours.py.
//
//   node --experimental-wasm-jspi pyodide.mjs
//
// Needs build/python/python_stdlib.zip.
import { answerLines, startPyodide } from "../pyodide.mjs";

const pyodide = await startPyodide({ enableRunUntilComplete: false });
// What malloc has given out (`uordblks`): wasm memory itself never shrinks, and would hide what was used before.
const usedBytes = () => pyodide._module.HEAPU32[(pyodide._module._mallinfo() >> 2) + 7];
pyodide.runPython(`
import json
from limpet.hosts.loop import install_drain_loop
from tests.bench.sessions import ours

async def answer(line, used_bytes):
    install_drain_loop()
    what, count = json.loads(line)
    return json.dumps(await (ours.weigh(count, used_bytes) if what == "weigh" else ours.run_many(count)))
`);
const answer = pyodide.globals.get("answer");
await answerLines((line) => answer(line, usedBytes));
