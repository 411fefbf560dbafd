import assert from "node:assert/strict";
import { test } from "node:test";
import { createOnnxBridge, type FetchFunction, memoryStore, type Progress } from "../src/index.ts";
import { createLocks } from "../src/locks.ts";
import { createModelCache, fileLock } from "../src/model-cache.ts";
import { counterModel, FakeRuntime, MODEL_URL, pattern, sha256 } from "./fakes.ts";

const WEIGHTS = 1000;
const TOKENIZER = 13;
const TWIN_URL = MODEL_URL.replace("counter", "twin");

function setUp(weights = pattern(WEIGHTS)) {
  const { server, manifest } = counterModel(weights);
  const store = memoryStore();
  const runtime = new FakeRuntime();
  // A second model of the same server, with the same files.
  const fetch: FetchFunction = (url, init) => server.fetch(url.replace(TWIN_URL, MODEL_URL), init);
  const bridge = createOnnxBridge(runtime, { store, fetch });
  return { server, manifest, store, runtime, fetch, bridge };
}

test("a download brings all files and opens nothing", async () => {
  const { bridge, runtime, server } = setUp();
  const seen: Progress[] = [];

  await bridge.download(MODEL_URL, { onProgress: (progress) => seen.push(progress) });

  assert.equal(await bridge.availability(MODEL_URL), "available");
  assert.equal(runtime.threads.length, 0);
  assert.deepEqual(
    seen.filter(({ status }) => status === "store").map(({ file, loaded, total }) => [file, loaded, total]),
    [
      ["model.onnx", WEIGHTS, WEIGHTS],
      ["tokenizer.json", TOKENIZER, TOKENIZER],
    ],
  );
  await bridge.download(MODEL_URL);
  assert.deepEqual(server.downloads, ["model.onnx", "tokenizer.json"]);
  await bridge.load(MODEL_URL, { allowDownload: false });
});

test("those who want the same download share it, and it stops with the last of them", async () => {
  const { bridge, server } = setUp(pattern(400_000));
  const [one, other] = [new AbortController(), new AbortController()];
  const first = bridge.download(MODEL_URL, { signal: one.signal });
  const second = bridge.download(MODEL_URL, { signal: other.signal, onProgress: () => other.abort() });
  one.abort();

  await assert.rejects(first, { kind: "aborted" });
  await assert.rejects(second, { kind: "aborted" });
  assert.deepEqual(server.downloads, ["model.onnx"]);
});

test("the list says how much of each model is there, and when it was used", async () => {
  const { bridge, server, manifest, store } = setUp();
  const before = Date.now();
  const served = server.files.get("model.onnx");
  assert.ok(served);
  server.files.set("model.onnx", { ...served, status: 503 });

  await assert.rejects(bridge.download(MODEL_URL), { kind: "http" });
  assert.deepEqual(await bridge.list(), []);

  const half = pattern(WEIGHTS).slice(0, 400);
  await store.write(`files/${sha256(pattern(WEIGHTS))}`, half);
  const [part] = await bridge.list();
  assert.ok(part && part.used_at >= before && part.used_at <= Date.now());
  const expected = { url: MODEL_URL, id: manifest.id, size_bytes: WEIGHTS + TOKENIZER, used_at: part.used_at };
  assert.deepEqual(part, { ...expected, stored_bytes: 400, is_complete: false });

  server.files.set("model.onnx", served);
  await bridge.download(MODEL_URL);
  const [whole] = await bridge.list();
  assert.deepEqual(whole, {
    ...expected,
    used_at: whole?.used_at,
    stored_bytes: WEIGHTS + TOKENIZER,
    is_complete: true,
  });
});

test("the model used last comes first", async () => {
  const { manifest, store } = setUp();
  let now = 0;
  const cache = createModelCache(store, createLocks(undefined), () => ++now);
  await store.write(`files/${sha256(pattern(WEIGHTS))}`, pattern(WEIGHTS));
  for (const url of ["https://a/", "https://b/", "https://a/"]) await cache.touch(url, manifest as never);

  assert.deepEqual(
    (await cache.list()).map(({ url, used_at }) => [url, used_at]),
    [
      ["https://a/", 3],
      ["https://b/", 2],
    ],
  );
});

test("what is deleted is not in the list any more, nor what only it needed", async () => {
  const { bridge, store } = setUp();
  const session = await bridge.load(MODEL_URL, { allowDownload: true });
  await session.forward(Int32Array.of(1), 1);
  await session.snapshot("prefix");

  await bridge.remove(MODEL_URL);

  assert.deepEqual(await bridge.list(), []);
  assert.deepEqual(await store.list(""), []);
  await assert.rejects(session.forward(Int32Array.of(1), 1), { kind: "closed" });
  assert.equal(await bridge.availability(MODEL_URL), "downloadable");
});

test("half a download is deleted without a network too", async () => {
  const { bridge, server, store } = setUp(pattern(400_000));
  const stop = new AbortController();
  await assert.rejects(bridge.download(MODEL_URL, { signal: stop.signal, onProgress: () => stop.abort() }));
  server.isReachable = false;
  assert.equal((await bridge.list())[0]?.is_complete, false);

  await bridge.remove(MODEL_URL);

  assert.deepEqual(await store.list(""), []);
});

test("files of two models stay until both are deleted", async () => {
  const { bridge, store } = setUp();
  for (const url of [MODEL_URL, TWIN_URL]) await bridge.download(url);

  await bridge.remove(MODEL_URL);
  assert.deepEqual(
    (await bridge.list()).map(({ url, is_complete }) => [url, is_complete]),
    [[TWIN_URL, true]],
  );
  await bridge.load(TWIN_URL, { allowDownload: false });

  await bridge.remove(TWIN_URL);
  assert.deepEqual(await store.list("files/"), []);
});

test("a file that half a download of another model needs stays too", async () => {
  const { bridge, store, manifest } = setUp();
  await bridge.download(MODEL_URL);
  await createModelCache(store, createLocks(undefined)).touch(TWIN_URL, manifest as never);

  await bridge.remove(MODEL_URL);

  assert.equal((await store.list("files/")).length, 2);
});

test("another version takes the place of the one before, whose files go", async () => {
  const { bridge, server, manifest, store } = setUp();
  await bridge.download(MODEL_URL);
  const next = pattern(WEIGHTS).reverse();
  const files = (manifest.files as { name: string }[]).map((file) =>
    file.name === "model.onnx" ? { ...file, sha256: sha256(next) } : file,
  );
  server.files.set("model.onnx", { bytes: next });
  server.files.set("model.json", { bytes: new TextEncoder().encode(JSON.stringify({ ...manifest, files })) });

  await bridge.download(MODEL_URL);

  assert.equal((await bridge.list()).length, 1);
  assert.deepEqual(
    (await store.list("files/")).sort(),
    [sha256(next), sha256(new TextEncoder().encode('{"pieces":[]}'))].map((hash) => `files/${hash}`).sort(),
  );
});

test("a file is not removed while somebody downloads it", async () => {
  const { bridge, store, fetch } = setUp();
  await bridge.download(MODEL_URL);
  const locks = createLocks(undefined);
  const cache = createModelCache(store, locks);
  const steps: string[] = [];
  let finish = () => {};
  const finished = new Promise<void>((resolve) => {
    finish = resolve;
  });
  const other = locks.hold(fileLock(sha256(pattern(WEIGHTS))), undefined, async () => {
    await finished;
    steps.push("downloaded");
  });
  const removed = cache.remove(MODEL_URL, undefined).then(() => steps.push("removed"));
  for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve));
  assert.equal((await store.list("files/")).length, 2);
  finish();
  await Promise.all([other, removed]);

  assert.deepEqual(steps, ["downloaded", "removed"]);
  assert.deepEqual(await createOnnxBridge(new FakeRuntime(), { store, fetch }).list(), []);
});

test("a note that is damaged is left out", async () => {
  const { bridge, store } = setUp();
  await bridge.download(MODEL_URL);
  await store.write("notes/other", new TextEncoder().encode('{"url":"https://x/","used_at":1,"manifest":{}}'));
  await store.write("notes/third", new TextEncoder().encode("{"));

  assert.deepEqual(
    (await bridge.list()).map(({ url }) => url),
    [MODEL_URL],
  );
});

test("storage without a browser says which store it is, and that nobody knows the rest", async () => {
  const { bridge } = setUp();
  assert.deepEqual(await bridge.storage(), {
    store: "memory",
    usage_bytes: null,
    quota_bytes: null,
    is_persisted: false,
  });
});
