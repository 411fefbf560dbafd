// What `import limpet` costs in Pyodide, each time in a fresh interpreter:
//
//   node --experimental-wasm-jspi tests/bench/import_time.mjs [ROUNDS]
//
// Needs build/site (python3 build.py site). Prints medians of wall and processor milliseconds; judges nothing.
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../..", import.meta.url));
const { loadPyodide } = await import(`${root}web/node_modules/pyodide/pyodide.mjs`);
const rounds = Number(process.argv[2] ?? 5);
const page = `${root}build/site/python/limpet-0.1.0-py3-none-any.whl`;
const plain = `${root}build/wheel/limpet-0.1.0-py3-none-any.whl`;

const median = (values) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];

/** Boot, unpack one wheel, import one module. */
async function once(wheel, module) {
  const pyodide = await loadPyodide({
    indexURL: `${root}build/site/pyodide/`,
    lockFileURL: `${root}build/site/python/pyodide-lock.json`,
  });
  pyodide.unpackArchive(new Uint8Array(readFileSync(wheel)), "wheel");
  const text = `
import sys, time
sys.dont_write_bytecode = True
before = time.perf_counter(), time.process_time()
import ${module}
[(time.perf_counter() - before[0]) * 1000, (time.process_time() - before[1]) * 1000]
`;
  return pyodide.runPython(text).toJs();
}

for (const [name, wheel] of [["wheel of the page (byte code)", page], ["plain wheel (source)", plain]]) {
  for (const module of ["limpet", "limpet.entrypoints.web_worker"]) {
    const rows = [];
    for (let round = 0; round < rounds; round++) rows.push(await once(wheel, module));
    const [wall, cpu] = [0, 1].map((index) => median(rows.map((row) => row[index])));
    console.log(`${name}: import ${module}: ${wall.toFixed(1)} ms wall, ${cpu.toFixed(1)} ms cpu, median of ${rounds}`);
  }
}
