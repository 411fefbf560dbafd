import assert from "node:assert/strict";
import { after, test } from "node:test";
import {
  BridgeError,
  type BridgePort,
  connectOnnxBridge,
  createOnnxBridge,
  memoryStore,
  type Progress,
  serveOnnxBridge,
} from "../src/index.ts";
import { counterModel, FakeRuntime, MODEL_URL, pattern } from "./fakes.ts";

const channels: MessageChannel[] = [];
after(() => {
  for (const { port1 } of channels) port1.close();
});

function setUp() {
  const { server } = counterModel(pattern(300_000));
  const runtime = new FakeRuntime();
  const local = createOnnxBridge(runtime, { store: memoryStore(), fetch: server.fetch });
  const channel = new MessageChannel();
  channels.push(channel);
  const served = serveOnnxBridge(local, channel.port2 as BridgePort);
  return { server, runtime, local, channel, served, remote: connectOnnxBridge(channel.port1 as BridgePort) };
}

test("everything works as on this side, with progress", async () => {
  const { local, remote, runtime } = setUp();
  const seen: Progress[] = [];

  assert.equal(await remote.availability(MODEL_URL), "downloadable");
  assert.equal((await remote.describe(MODEL_URL)).id, "counter");
  const session = await remote.load(MODEL_URL, { allowDownload: true, onProgress: (progress) => seen.push(progress) });
  assert.equal(seen.at(-1)?.status, "ready");
  assert.equal(await remote.load(MODEL_URL, { allowDownload: false }), session);

  const first = await session.forward(Int32Array.of(1, 2), 3, Int32Array.of(5, 6));
  assert.equal(session.length, 2);
  await session.snapshot("prefix");
  await session.forward(Int32Array.of(7), 1);
  assert.equal(await session.restore("prefix"), true);
  assert.equal(session.length, 2);
  const direct = await local.load(MODEL_URL, { allowDownload: false });
  assert.deepEqual(await direct.forward(new Int32Array(), 3, Int32Array.of(5, 6)), first);
  assert.equal((await session.read("model.onnx")).length, 300_000);
  assert.equal(await session.rewind(1), false);
  assert.equal(await session.rewind(2), true);
  await assert.rejects(session.embed(Int32Array.of(1), Int32Array.of(1)), { kind: "bad_request" });
  await session.reset();
  assert.equal(session.length, 0);
  assert.equal(await session.rewind(0), true);

  await session.close();
  await session.close();
  await remote.remove(MODEL_URL);
  await remote.close();
  await remote.close();
  assert.equal(runtime.liveTensors, 0);
  await assert.rejects(remote.availability(MODEL_URL), { kind: "closed" });
});

test("the caller keeps its arrays", async () => {
  const { remote } = setUp();
  const session = await remote.load(MODEL_URL, { allowDownload: true });
  const ids = Int32Array.of(1, 2);

  await session.forward(ids, 1);

  assert.deepEqual([...ids], [1, 2]);
});

test("errors keep their kind, their text and their numbers", async () => {
  const { remote, local } = setUp();

  const near = await local.load(MODEL_URL, { allowDownload: false }).catch((error: unknown) => error);
  const far = await remote.load(MODEL_URL, { allowDownload: false }).catch((error: unknown) => error);

  assert.ok(near instanceof BridgeError && far instanceof BridgeError);
  assert.deepEqual([far.kind, far.message, far.details], [near.kind, near.message, near.details]);
});

test("a signal stops a download on the other side", async () => {
  const { remote, server } = setUp();
  const controller = new AbortController();

  const loading = remote.load(MODEL_URL, {
    allowDownload: true,
    signal: controller.signal,
    onProgress: () => controller.abort(),
  });

  await assert.rejects(loading, { kind: "aborted", name: "AbortError" });
  await remote.availability(MODEL_URL);
  assert.deepEqual(server.downloads, ["model.onnx"]);
});

test("a call that is aborted before it is sent is not sent", async () => {
  const { remote, runtime } = setUp();
  const session = await remote.load(MODEL_URL, { allowDownload: true });

  await assert.rejects(session.forward(Int32Array.of(1), 1, null, AbortSignal.abort()), { kind: "aborted" });

  assert.equal(runtime.runs, 0);
});

test("when the other side goes, open calls end", async () => {
  const { remote, channel, served } = setUp();
  served.close();

  const waiting = remote.availability(MODEL_URL);
  channel.port2.close();

  await assert.rejects(waiting, { kind: "closed" });
});

test("other messages on the same port are left alone", async () => {
  const { channel, remote } = setUp();
  channel.port1.postMessage({ method: "load", id: 1 });
  channel.port2.postMessage("hello");

  assert.equal(await remote.availability(MODEL_URL), "downloadable");
});

test("what is kept is listed and downloaded over a port too", async () => {
  const { remote, runtime, local } = setUp();
  const seen: Progress[] = [];

  await remote.download(MODEL_URL, { onProgress: (progress) => seen.push(progress) });

  assert.deepEqual([...new Set(seen.map(({ status }) => status))], ["download", "verify", "store"]);
  assert.deepEqual(await remote.list(), await local.list());
  assert.equal((await remote.list())[0]?.is_complete, true);
  assert.deepEqual(await remote.storage(), await local.storage());
  assert.equal(await remote.device(), null);
  assert.equal(runtime.threads.length, 0);
  const stopped = remote.download(MODEL_URL, { signal: AbortSignal.abort() });
  await assert.rejects(stopped, { kind: "aborted" });
});
