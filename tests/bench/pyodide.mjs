// Pyodide in Node for a benchmark: our sources are mounted as they are, and found by `import`.
//
// Needs build/python/python_stdlib.zip.
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

/** Start it. `options` are more of `loadPyodide`'s. */
export async function startPyodide(options = {}) {
  const root = fileURLToPath(new URL("../..", import.meta.url));
  const { loadPyodide } = await import(`${root}web/node_modules/pyodide/pyodide.mjs`);
  const pyodide = await loadPyodide({
    indexURL: `${root}web/node_modules/pyodide/`,
    stdLibURL: `${root}build/python/python_stdlib.zip`,
    ...options,
  });
  for (const name of ["runtime", "tests"]) {
    pyodide.FS.mkdirTree(`/repository/${name}`);
    pyodide.mountNodeFS(`/repository/${name}`, `${root}${name}`);
  }
  pyodide.runPython(`
import sys
sys.dont_write_bytecode = True
sys.path[:0] = ["/repository", "/repository/runtime"]
`);
  return pyodide;
}

/** Print the answer to each line of the input. */
export async function answerLines(answer) {
  for await (const line of createInterface({ input: process.stdin })) console.log(await answer(line));
}
