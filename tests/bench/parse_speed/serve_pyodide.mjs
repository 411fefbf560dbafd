// The process that reads with ours inside Pyodide: the same readers, the same lines in and out as serve_ours.py.
//
//   node --experimental-wasm-jspi serve_pyodide.mjs EVENTS PIECE_BYTES
//
// Needs build/site (python3 build.py site) for Pyodide's standard library.
import { answerLines, startPyodide } from "../pyodide.mjs";

const pyodide = await startPyodide();
pyodide.runPython(`
from tests.bench.parse_speed.ours import READERS
from tests.bench.parse_speed.reading import Bench
`);
const bench = pyodide.runPython(`Bench(READERS, ${Number(process.argv[2])}, ${Number(process.argv[3])})`);
await answerLines((line) => bench.read(...JSON.parse(line)));
