import assert from "node:assert/strict";
import { test } from "node:test";
import { BridgeError, createOnnxBridge, type ModelStore, memoryStore, type Progress } from "../src/index.ts";
import { counterModel, FakeRuntime, MODEL_URL, pattern, sha256 } from "./fakes.ts";

const ALLOW = { allowDownload: true };

function setUp(options: { store?: ModelStore; weights?: Uint8Array } = {}) {
  const { server, manifest } = counterModel(options.weights);
  const store = options.store ?? memoryStore();
  const runtime = new FakeRuntime();
  const bridge = createOnnxBridge(runtime, { store, fetch: server.fetch });
  return { server, manifest, store, runtime, bridge };
}

function kind(expected: string) {
  return (error: unknown) => error instanceof BridgeError && error.kind === expected;
}

async function files(store: ModelStore): Promise<number> {
  return (await store.list("files/")).length;
}

test("progress goes through download, verify and store for each file, then load and ready", async () => {
  const { bridge } = setUp({ weights: pattern(600_000) });
  const seen: Progress[] = [];

  await bridge.load(MODEL_URL, { ...ALLOW, onProgress: (progress) => seen.push(progress) });

  const steps = seen.map(({ status, file }) => `${status} ${file}`);
  assert.deepEqual(
    steps.filter((step, index) => step !== steps[index - 1]),
    [
      "download model.onnx",
      "verify model.onnx",
      "store model.onnx",
      "download tokenizer.json",
      "verify tokenizer.json",
      "store tokenizer.json",
      "load model.onnx",
      "ready model.onnx",
    ],
  );
  const loaded = seen.filter(({ status, file }) => status === "download" && file === "model.onnx");
  assert.equal(loaded.at(-1)?.loaded, 600_000);
  assert.ok(loaded.length > 1 && loaded.every(({ total }) => total === 600_000));
});

test("nothing is fetched without permission, and the error says how much it would be", async () => {
  const { bridge, server } = setUp();

  assert.equal(await bridge.availability(MODEL_URL), "downloadable");
  await assert.rejects(bridge.load(MODEL_URL, { allowDownload: false }), (error) => {
    assert.ok(error instanceof BridgeError);
    assert.deepEqual([error.kind, error.details], ["not_downloaded", { needed: 1013 }]);
    return true;
  });
  assert.deepEqual(server.downloads, []);
});

test("a second visit needs no network", async () => {
  const { bridge, server, store } = setUp();
  await bridge.load(MODEL_URL, ALLOW);
  await bridge.close();
  server.isReachable = false;

  const again = createOnnxBridge(new FakeRuntime(), { store, fetch: server.fetch });

  assert.equal(await again.availability(MODEL_URL), "available");
  const session = await again.load(MODEL_URL, { allowDownload: false });
  assert.equal(new TextDecoder().decode(await session.read("tokenizer.json")), '{"pieces":[]}');
});

test("without a network and without a visit the model is unavailable", async () => {
  const { bridge, server } = setUp();
  server.isReachable = false;

  assert.equal(await bridge.availability(MODEL_URL), "unavailable");
  await assert.rejects(bridge.load(MODEL_URL, ALLOW), kind("offline"));
});

test("bytes with another hash are refused and not kept", async () => {
  const { bridge, server, store } = setUp();
  server.files.set("model.onnx", { bytes: pattern(1000).reverse() });

  await assert.rejects(bridge.load(MODEL_URL, ALLOW), kind("bad_hash"));
  assert.equal(await files(store), 0);
});

test("a stored file that was damaged is fetched again", async () => {
  const { bridge, server, store } = setUp();
  const damaged = pattern(1000);
  damaged[500] = 1;
  await store.write(`files/${sha256(pattern(1000))}`, damaged);

  await bridge.load(MODEL_URL, ALLOW);

  assert.deepEqual(server.downloads, ["model.onnx", "tokenizer.json"]);
});

const page = new TextEncoder().encode("<!DOCTYPE html><title>Not found</title>");
const pages = {
  "by its content type": { bytes: page, type: "text/html; charset=utf-8" },
  "by its length": { bytes: page },
  "by its first bytes": { bytes: new Uint8Array(1000).fill(32).with(0, 10) },
};
for (const [how, served] of Object.entries(pages)) {
  test(`a web page is never stored: known ${how}`, async () => {
    const { bridge, server, store } = setUp();
    if (how === "by its first bytes") served.bytes.set(page, 3);
    server.files.set("model.onnx", served);

    await assert.rejects(bridge.load(MODEL_URL, ALLOW), kind("bad_content"));
    for (const path of await store.list("files/")) assert.equal(await store.size(path), 0);
  });
}

test("a page instead of model.json is bad content", async () => {
  const { bridge, server } = setUp();
  server.files.set("model.json", { bytes: page, type: "text/html" });

  await assert.rejects(bridge.describe(MODEL_URL), kind("bad_content"));
});

test("a refusal carries its status", async () => {
  const { bridge, server } = setUp();
  server.files.set("model.onnx", { bytes: new Uint8Array(), status: 503 });

  await assert.rejects(bridge.load(MODEL_URL, ALLOW), (error) => {
    assert.ok(error instanceof BridgeError);
    assert.deepEqual([error.kind, error.details], ["http", { status: 503 }]);
    return true;
  });
});

test("a broken connection is taken up where it broke, with the server's version", async () => {
  const { bridge, server } = setUp();
  server.files.set("model.onnx", { bytes: pattern(1000), etag: '"v1"', breakAfter: 640 });

  await bridge.load(MODEL_URL, ALLOW);

  const ranges = server.requests.filter(({ url }) => url.endsWith(".onnx")).map(({ headers }) => headers);
  assert.deepEqual(ranges, [{}, { range: "bytes=640-", "if-range": '"v1"' }]);
});

test("a download that was stopped goes on at the next visit", async () => {
  const { bridge, server, store } = setUp({ weights: pattern(600_000) });
  const controller = new AbortController();
  const onProgress = () => controller.abort();
  await assert.rejects(bridge.load(MODEL_URL, { ...ALLOW, onProgress, signal: controller.signal }), kind("aborted"));

  const before = await store.size(`files/${sha256(pattern(600_000))}`);
  assert.ok(before !== undefined && before > 0 && before < 600_000);
  await bridge.load(MODEL_URL, ALLOW);

  const ranges = server.requests.filter(({ url }) => url.endsWith(".onnx")).map(({ headers }) => headers.range);
  assert.equal(ranges[0], undefined);
  assert.match(ranges[1] ?? "", /^bytes=\d+-$/);
});

for (const [name, change] of Object.entries({
  "knows no ranges": { ranges: false },
  "has another version by now": { etag: '"v2"' },
})) {
  test(`a server that ${name} begins again`, async () => {
    const { bridge, server, store } = setUp();
    const sha = sha256(pattern(1000));
    await store.write(`files/${sha}`, pattern(400));
    await store.write(`files/${sha}.etag`, new TextEncoder().encode('"v1"'));
    server.files.set("model.onnx", { bytes: pattern(1000), ...change });

    await bridge.load(MODEL_URL, ALLOW);

    assert.equal(await store.size(`files/${sha}`), 1000);
    assert.deepEqual(await store.list("files/").then((paths) => paths.filter((path) => path.endsWith(".etag"))), []);
  });
}

test("too little room is said before anything is fetched, with the numbers", async () => {
  const { bridge, server } = setUp({ store: memoryStore(500) });

  await assert.rejects(bridge.load(MODEL_URL, ALLOW), (error) => {
    assert.ok(error instanceof BridgeError);
    assert.deepEqual([error.kind, error.details], ["quota", { needed: 1013, available: 500 }]);
    return true;
  });
  assert.deepEqual(server.downloads, []);
});

test("a store that fills up while writing is a quota error too", async () => {
  const full = memoryStore(700);
  const { bridge } = setUp({ store: { ...full, free: async () => undefined } });

  await assert.rejects(bridge.load(MODEL_URL, ALLOW), kind("quota"));
});

test("two callers share one download, and one of them may go", async () => {
  const { bridge, server } = setUp();
  const controller = new AbortController();

  const first = bridge.load(MODEL_URL, { ...ALLOW, signal: controller.signal });
  const second = bridge.load(MODEL_URL, ALLOW);
  controller.abort();

  await assert.rejects(first, kind("aborted"));
  const session = await second;
  assert.equal(await bridge.load(MODEL_URL, ALLOW), session);
  assert.deepEqual(server.downloads, ["model.onnx", "tokenizer.json"]);
});

test("two bridges over one store do not download twice", async () => {
  const { server, store } = setUp();
  const bridges = [0, 1].map(() =>
    createOnnxBridge(new FakeRuntime(), { store, fetch: server.fetch, locks: fairLocks }),
  );

  await Promise.all(bridges.map((bridge) => bridge.load(MODEL_URL, ALLOW)));

  assert.deepEqual(server.downloads.sort(), ["model.onnx", "tokenizer.json"]);
});

test("removing deletes what no other model uses", async () => {
  const { bridge, store } = setUp();
  const session = await bridge.load(MODEL_URL, ALLOW);
  await session.forward(Int32Array.of(1), 1);
  await session.snapshot("prefix");

  await bridge.remove(MODEL_URL);

  assert.deepEqual(await store.list(""), []);
  assert.equal(await bridge.availability(MODEL_URL), "downloadable");
});

test("removing deletes half of a download too", async () => {
  const { bridge, server, store } = setUp();
  server.files.set("tokenizer.json", { bytes: new Uint8Array(), status: 500 });
  await assert.rejects(bridge.load(MODEL_URL, ALLOW), kind("http"));
  assert.notDeepEqual(await store.list(""), []);

  await bridge.remove(MODEL_URL);

  assert.deepEqual(await store.list(""), []);
});

test("a new version of a model replaces the files of the old one", async () => {
  const { bridge, server, store, manifest } = setUp();
  await (await bridge.load(MODEL_URL, ALLOW)).close();
  const { server: newer, manifest: changed } = counterModel(pattern(900));
  assert.notDeepEqual(manifest, changed);
  for (const [name, served] of newer.files) server.files.set(name, served);

  assert.equal(await bridge.availability(MODEL_URL), "downloadable");
  await bridge.load(MODEL_URL, ALLOW);

  assert.equal(await files(store), 2);
  assert.equal(await store.size(`files/${sha256(pattern(1000))}`), undefined);
});

/** The part of Web Locks that is used, for hosts without it. */
const queue = new Map<string, Promise<unknown>>();
const fairLocks = {
  request: (name: string, _options: unknown, use: () => Promise<unknown>) => {
    const result = (queue.get(name) ?? Promise.resolve()).then(use, use);
    queue.set(name, result);
    return result;
  },
  query: async () => ({ held: [], pending: [] }),
} as unknown as LockManager;
