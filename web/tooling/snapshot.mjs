// Makes the memory snapshot from which a page starts: Python as it is once the standard library's usual modules and all
// of our wheels' are imported.
//
//   node snapshot.mjs '{"pyodide": folder, "stdlib": zip, "lock": file, "wheels": [...], "output": file}'
//
// The file: a line of JSON, then bytes. Of the wasm module's own constant data, which lies at the start of its memory and
// is there before Python starts, only what differs is kept; of the rest, what is not zero. `web/src/snapshot.ts` reads it.
// The memory fits one build of Pyodide and one set of wheels; both are named in the first line.
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

// Node would print the line of source that threw, which is Pyodide's only one and a megabyte long.
process.on("uncaughtException", (error) => {
  console.error(error?.message ?? error, String(error?.stack ?? "").replace(/^.{400,}$/gm, ""));
  process.exit(1);
});

const BLOCK = 64;
const PAGE = 65536;

const job = JSON.parse(process.argv[2]);
const folder = resolve(job.pyodide);
const { loadPyodide } = await import(pathToFileURL(join(folder, "pyodide.mjs")).href);
const { default: createModule } = await import(pathToFileURL(join(folder, "pyodide.asm.mjs")).href);
const lock = readFileSync(job.lock, "utf8");
const settings = {
  indexURL: `${folder}/`,
  stdLibURL: resolve(job.stdlib),
  lockFileContents: lock,
  packageBaseUrl: `${dirname(resolve(job.lock))}/`,
  enableRunUntilComplete: false,
};

const snapshot = await make();
const [base, another] = [await readBase(), await readBase()];
const memory = snapshot.subarray(new Uint32Array(snapshot.buffer, snapshot.byteOffset, 2)[1]);
const constant = Math.floor(firstDifference(base, another) / PAGE) * PAGE;
const { runs, blocks } = encode(memory, base, constant);
const head = {
  format: 1,
  config: configOf(snapshot),
  length: memory.length,
  constant,
  block: BLOCK,
  runs: runs.length / 2,
  wheels: Object.fromEntries(Object.values(JSON.parse(lock).packages).map(({ name, sha256 }) => [name, sha256])),
};
// Padded, so that the numbers behind it are aligned.
const text = JSON.stringify(head);
const line = Buffer.from(`${text}${" ".repeat((BLOCK - ((Buffer.byteLength(text) + 1) % BLOCK)) % BLOCK)}\n`);
const bytes = Buffer.concat([line, Buffer.from(Uint32Array.from(runs).buffer), ...blocks]);
mkdirSync(dirname(job.output), { recursive: true });
writeFileSync(`${job.output}.${process.pid}`, bytes);
renameSync(`${job.output}.${process.pid}`, job.output);
console.log(JSON.stringify({ bytes: bytes.length, runs: head.runs, constant, sha256: hash(bytes) }));
// Pyodide keeps timers; everything that was wanted is on disk.
process.exit(0);

async function make() {
  const pyodide = await loadPyodide({ ...settings, _makeSnapshot: true });
  for (const wheel of job.wheels) {
    pyodide.FS.writeFile("/tmp/wheel.zip", readFileSync(wheel));
    // Unpacked by hand: an installed package would be part of Pyodide's state, which a snapshot can't hold.
    pyodide.runPython(`
import zipfile
with zipfile.ZipFile("/tmp/wheel.zip") as wheel:
    wheel.extractall("/lib/python3.14/site-packages", [n for n in wheel.namelist() if ".dist-info" not in n])
del wheel
`);
  }
  pyodide.FS.unlink("/tmp/wheel.zip");
  pyodide.runPython(readFileSync(new URL("./snapshot_imports.py", import.meta.url), "utf8"));
  scrub(pyodide._module);
  return pyodide.makeMemorySnapshot();
}

/** Zero what was freed: it is of no use to anybody and does not compress. */
function scrub(module) {
  const taken = [];
  const end = module._sbrk(0);
  for (let size = 1 << 16; size >= 32; size >>= 1) {
    for (;;) {
      const place = module._malloc(size);
      module.HEAPU8.fill(0, place, place + size);
      taken.push(place);
      // Nothing of this size was free any more: this is new memory, and there is no end of it.
      if (place + size > end) break;
    }
  }
  for (const place of taken) module._free(place);
}

/** The memory as it is when a snapshot would be restored into it. */
async function readBase() {
  let base = null;
  await loadPyodide({
    ...settings,
    _loadSnapshot: snapshot,
    async createPyodideModule(wanted) {
      const module = await createModule(wanted);
      const restore = module.API.restoreSnapshot;
      module.API.restoreSnapshot = (bytes) => {
        base = module.HEAPU8.slice();
        return restore(bytes);
      };
      return module;
    },
  });
  return base;
}

function firstDifference(one, other) {
  for (let place = 0; place < one.length; place++) if (one[place] !== other[place]) return place;
  return one.length;
}

function encode(memory, base, constant) {
  const runs = [];
  const blocks = [];
  for (let place = 0; place < memory.length; place += BLOCK) {
    const block = memory.subarray(place, place + BLOCK);
    const isWanted = place < constant ? !equal(block, base.subarray(place, place + BLOCK)) : block.some((byte) => byte);
    if (!isWanted) continue;
    const number = place / BLOCK;
    const last = runs.length - 2;
    if (last >= 0 && runs[last] + runs[last + 1] === number) runs[last + 1] += 1;
    else runs.push(number, 1);
    blocks.push(block);
  }
  return { runs, blocks };
}

function equal(one, other) {
  return one.every((byte, place) => byte === other[place]);
}

/** What Pyodide wrote before the memory: where the JavaScript objects belong that Python holds. */
function configOf(bytes) {
  const [, , length] = new Uint32Array(bytes.buffer, bytes.byteOffset, 3);
  const text = Buffer.from(bytes.buffer, bytes.byteOffset + 48, length).toString("utf8");
  return JSON.parse(text);
}

function hash(bytes) {
  return createHash("sha256").update(bytes).digest("hex");
}
