// Compiles the Python in zip files (the standard library, our wheel) to byte code for the Pyodide in node_modules.
//
//   node compile.mjs PYODIDE_FOLDER '[{"input", "output", "prefix", "package"?, "imports"?, "beside"?, "optimize"?, "stored"?}]'
//
// A host's own Python cannot do it: byte code fits one version of Python only, and Pyodide's is rarely the host's.
// Prints one JSON line for each zip: how many modules it holds.
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

const [folder, jobsText] = process.argv.slice(2);
const { loadPyodide } = await import(pathToFileURL(join(resolve(folder), "pyodide.mjs")).href);
const python = readFileSync(new URL("./compile_zip.py", import.meta.url), "utf8");

// Columns of each instruction are a quarter of byte code, and point into a source that is not there.
const env = { HOME: "/home/pyodide", PYTHONNODEBUGRANGES: "1" };
const pyodide = await loadPyodide({ indexURL: `${resolve(folder)}/`, env });
pyodide.runPython(python);
const compile = pyodide.globals.get("compile_zip");
for (const job of JSON.parse(jobsText)) {
  pyodide.FS.writeFile("/tmp/input.zip", readFileSync(job.input));
  const imports = pyodide.toPy(job.imports ?? []);
  const beside = pyodide.toPy((job.beside ?? []).map((_, index) => `/tmp/beside${index}.zip`));
  (job.beside ?? []).forEach((path, index) => {
    pyodide.FS.writeFile(`/tmp/beside${index}.zip`, readFileSync(path));
  });
  const modules = compile(
    "/tmp/input.zip",
    "/tmp/output.zip",
    job.prefix,
    job.package ?? "",
    imports,
    beside,
    job.optimize ?? 0,
    job.stored ?? false,
  );
  const draft = `${job.output}.${process.pid}`;
  writeFileSync(draft, pyodide.FS.readFile("/tmp/output.zip"));
  renameSync(draft, job.output);
  console.log(JSON.stringify({ output: job.output, modules }));
}
