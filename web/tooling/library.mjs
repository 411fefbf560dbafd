// Makes the part of the standard library that a start without a snapshot needs.
//
//   node library.mjs '{"pyodide": folder, "stdlib": zip, "lock": file, "output": file}'
//
// In it are the modules that Python, `loadPackage` and our own import, and what an agent's file is likely to import. It is
// not compressed, since a server that compresses the whole does it better. Prints how many modules there are.
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

// Node would print the line of source that threw, which is Pyodide's only one and a megabyte long.
process.on("uncaughtException", (error) => {
  console.error(error?.message ?? error);
  process.exit(1);
});

const job = JSON.parse(process.argv[2]);
const folder = resolve(job.pyodide);
const { loadPyodide } = await import(pathToFileURL(join(folder, "pyodide.mjs")).href);
const pyodide = await loadPyodide({
  indexURL: `${folder}/`,
  stdLibURL: resolve(job.stdlib),
  lockFileContents: readFileSync(job.lock, "utf8"),
  packageBaseUrl: `${dirname(resolve(job.lock))}/`,
  enableRunUntilComplete: false,
});
await pyodide.loadPackage("limpet", { messageCallback: () => undefined });
const modules = pyodide.runPython(`
import sys, zipfile

import limpet.entrypoints.web_worker, limpet.providers.openai_compatible, limpet.stores.indexeddb
import calendar, datetime, decimal, hashlib, secrets, urllib.parse, uuid
import encodings.ascii, encodings.idna, encodings.latin_1

LIBRARY = "/lib/python314.zip/"
used = {(getattr(module, "__file__", None) or "").removeprefix(LIBRARY) for module in [*sys.modules.values()]}
with zipfile.ZipFile(LIBRARY[:-1]) as source, zipfile.ZipFile("/tmp/part.zip", "w") as part:
    wanted = sorted(used & set(source.namelist()))
    for name in wanted:
        part.writestr(zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0)), source.read(name))
    names = sorted({name.partition("/")[0].partition(".")[0] for name in source.namelist()})
    part.writestr(zipfile.ZipInfo("late_names.py", (2020, 1, 1, 0, 0, 0)), f"NAMES = frozenset({names!r})\\n")
len(wanted)
`);
writeFileSync(`${job.output}.${process.pid}`, pyodide.FS.readFile("/tmp/part.zip"));
renameSync(`${job.output}.${process.pid}`, job.output);
console.log(JSON.stringify({ modules }));
process.exit(0);
