// Takes the snapshot of a packed project: starts workerd with `take.mjs`, and writes what it answers, compressed:
// reading 31 MB takes workerd longer than unpacking 6. (Brotli makes 5, and takes 50 ms more to unpack.)
//
//   node take-snapshot.mjs WORKERD FOLDER OUTPUT
import { spawn } from "node:child_process";
import { readdirSync, renameSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { extname, join, resolve } from "node:path";
import { gzipSync } from "node:zlib";

const [workerd, folder, output] = process.argv.slice(2);
const LIMIT = 120_000;
const KINDS = { ".mjs": "esModule", ".wasm": "wasm", ".zip": "data", ".bin": "data" };

const port = await new Promise((done) => {
  const probe = createServer().listen(0, "127.0.0.1", () => {
    const { port } = probe.address();
    probe.close(() => done(port));
  });
});
const names = readdirSync(folder).filter(
  (name) => extname(name) in KINDS && !["main.mjs", "host.mjs", "kv.mjs"].includes(name),
);
names.sort((a, b) => (b === "take.mjs") - (a === "take.mjs"));
const modules = names.map((name) => `(name = "${name}", ${KINDS[extname(name)]} = embed "${name}")`);
const config = join(resolve(folder), "take.capnp");
writeFileSync(
  config,
  `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "take", worker = .take)],
  sockets = [(name = "http", address = "127.0.0.1:${port}", http = (), service = "take")],
);
const take :Workerd.Worker = (compatibilityDate = "2026-11-01", modules = [${modules.join(", ")}]);
`,
);
const child = spawn(workerd, ["serve", config], { stdio: ["ignore", "inherit", "inherit"] });
const timer = setTimeout(() => child.kill("SIGKILL"), LIMIT);
try {
  const bytes = await ask();
  const packed = gzipSync(bytes, { level: 9 });
  writeFileSync(`${output}.${process.pid}`, packed);
  renameSync(`${output}.${process.pid}`, output);
  console.log(JSON.stringify({ bytes: bytes.length, packed: packed.length }));
} finally {
  clearTimeout(timer);
  child.kill("SIGKILL");
}

async function ask() {
  for (;;) {
    if (child.exitCode !== null) throw new Error("workerd ended");
    let reply;
    try {
      reply = await fetch(`http://127.0.0.1:${port}/`, { signal: AbortSignal.timeout(LIMIT) });
    } catch {
      await new Promise((done) => setTimeout(done, 50));
      continue;
    }
    if (!reply.ok) throw new Error(`workerd made no snapshot: ${(await reply.text()).slice(0, 500)}`);
    return Buffer.from(await reply.arrayBuffer());
  }
}
