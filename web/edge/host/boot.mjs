// Starts Python in a Worker: Pyodide from the modules that were packed, from a snapshot where there is one.

import * as cloudflareSockets from "cloudflare:sockets";
import * as cloudflareWorkers from "cloudflare:workers";
import { env, waitUntil } from "cloudflare:workers";
import { app, lockFile, snapshot } from "./modules.mjs";
import { createPyodideModule, loadPyodide } from "./pyodide.bundle.mjs";

const SITE_PACKAGES = "/lib/python3.14/site-packages";
// Nobody is asked at this address: `shim.mjs` answers from the packed files.
const NOWHERE = "https://pyodide.invalid/";

/** The two modules of JavaScript which the Workers SDK for Python asks for (its `_pyodide_entrypoint_helper.pyi`). */
const entrypointHelper = {
  cloudflareWorkersModule: cloudflareWorkers,
  cloudflareSocketsModule: cloudflareSockets,
  doAnImport: (name) => import(name),
  patchWaitUntil,
  patch_env_helper: () => {
    throw new Error("patch_env is not there on plain workerd");
  },
};
const compatFlags = {};

/** Let `ctx.waitUntil` take what Python gives it: a coroutine, which lives as long as somebody holds it. */
function patchWaitUntil(ctx) {
  if (Object.hasOwn(ctx, "waitUntil")) return;
  const original = ctx.waitUntil.bind(ctx);
  Object.defineProperty(ctx, "waitUntil", {
    value: (work) => {
      const kept = typeof work?.copy === "function" ? work.copy() : work;
      original(
        (async () => {
          try {
            return await kept;
          } finally {
            kept?.destroy?.();
          }
        })(),
      );
    },
  });
}

// JavaScript's objects that Python holds when a snapshot is made, by name.
const NAMED = { entrypointHelper, compatFlags, cloudflareWorkers, cloudflareSockets, env };

function serialize(object) {
  for (const [name, value] of Object.entries(NAMED)) if (value === object) return { name };
  for (const [owner, value] of Object.entries(NAMED))
    for (const key of Object.keys(value)) if (value[key] === object) return { owner, key };
  throw new Error(`a snapshot can't hold ${Object.prototype.toString.call(object)} ${String(object?.name ?? object)}`);
}

function deserialize({ name, owner, key }) {
  return name === undefined ? NAMED[owner][key] : NAMED[name];
}

function options(extra) {
  return {
    indexURL: NOWHERE,
    packageBaseUrl: NOWHERE,
    createPyodideModule,
    lockFileContents: lockFile,
    stdout: console.log,
    stderr: console.error,
    ...extra,
  };
}

/** Write the application's files where Python finds them; `edge_host.py` says how they are packed. */
function mountApp({ FS }) {
  const size = new DataView(app).getUint32(0, true);
  const index = JSON.parse(new TextDecoder().decode(new Uint8Array(app, 4, size)));
  const folders = new Set();
  let at = 4 + size;
  for (const [name, length] of index) {
    const path = `${SITE_PACKAGES}/${name}`;
    const folder = path.slice(0, path.lastIndexOf("/"));
    if (!folders.has(folder)) {
      FS.mkdirTree(folder);
      folders.add(folder);
    }
    FS.writeFile(path, new Uint8Array(app, at, length));
    at += length;
  }
}

/** Import what the first request would: it goes into the snapshot. */
const IMPORTS = "import _limpet_workerd, entry";

/** Start Python; gives the module `_limpet_workerd`. */
async function start() {
  if (snapshot) {
    const pyodide = await loadPyodide(options({ _loadSnapshot: snapshot(), _snapshotDeserializer: deserialize }));
    // The file system is not in a snapshot, and what Python remembers of the zip is of another one.
    mountApp(pyodide);
    pyodide.runPython(
      "import sys, zipimport, importlib; zipimport._zip_directory_cache.clear(); sys.path_importer_cache.clear(); importlib.invalidate_caches()",
    );
    return pyodide;
  }
  const pyodide = await loadPyodide(options({}));
  pyodide.registerJsModule("_pyodide_entrypoint_helper", entrypointHelper);
  pyodide.registerJsModule("_cloudflare_compat_flags", compatFlags);
  mountApp(pyodide);
  return pyodide;
}

async function glue(pyodide) {
  // A snapshot repeats its random numbers in every isolate that begins with it.
  await pyodide.runPythonAsync(`${IMPORTS}\nimport random; random.seed()`);
  return pyodide.pyimport("_limpet_workerd");
}

/** Make the snapshot: called by the build, in a workerd of its own. */
export async function makeSnapshot() {
  const pyodide = await loadPyodide(options({ _makeSnapshot: true }));
  pyodide.registerJsModule("_pyodide_entrypoint_helper", entrypointHelper);
  pyodide.registerJsModule("_cloudflare_compat_flags", compatFlags);
  mountApp(pyodide);
  await pyodide.runPythonAsync(`${IMPORTS}\nimport gc; gc.collect()`);
  return pyodide.makeMemorySnapshot({ serializer: serialize });
}

// With a snapshot Python starts with the Worker, as it does at Cloudflare; without one the first request starts it,
// since most of what a start needs is forbidden before.
const restored = snapshot ? await start() : undefined;
let running;

/** Give the module `_limpet_workerd`, starting Python when nobody has. */
export function python() {
  running ??= (async () => glue(restored ?? (await start())))();
  const started = running;
  // A promise of a request that has ended never settles: this one must outlive it.
  waitUntil(
    started.catch(() => {
      if (running === started) running = undefined;
    }),
  );
  return started;
}
