import assert from "node:assert/strict";
import { test } from "node:test";
import { BridgeError, createOnnxBridge, type Forward, memoryStore, type OnnxSession } from "../src/index.ts";
import { usableThreads } from "../src/runtime.ts";
import { SNAPSHOTS_IN_MEMORY } from "../src/session.ts";
import { SNAPSHOTS_IN_STORE } from "../src/snapshot.ts";
import { counterModel, FakeRuntime, MODEL_URL } from "./fakes.ts";

async function setUp(store = memoryStore()) {
  const { server } = counterModel();
  const runtime = new FakeRuntime();
  const bridge = createOnnxBridge(runtime, { store, fetch: server.fetch });
  const session = await bridge.load(MODEL_URL, { allowDownload: true });
  return { runtime, bridge, session, store };
}

const ids = (...values: number[]) => Int32Array.from(values);

async function after(session: OnnxSession, ...tokens: number[]): Promise<Forward> {
  await session.reset();
  return session.forward(ids(...tokens), 5);
}

function kind(expected: string) {
  return (error: unknown) => error instanceof BridgeError && error.kind === expected;
}

test("tokens at once and one by one give the same", async () => {
  const { session } = await setUp();

  const whole = await after(session, 3, 1, 4, 1, 5);
  await session.reset();
  for (const id of [3, 1, 4, 1]) await session.forward(ids(id), 1);
  const last = await session.forward(ids(5), 5);

  assert.deepEqual(last, whole);
  assert.equal(session.length, 5);
  assert.equal(last.scalars.confidence, 5);
});

test("no tokens ranks the last logits again without a run", async () => {
  const { session, runtime } = await setUp();
  const first = await session.forward(ids(7), 5);
  const runs = runtime.runs;

  const again = await session.forward(ids(), 5);
  const few = await session.forward(ids(), 5, ids(9, 2));

  assert.deepEqual(again, first);
  assert.deepEqual([...few.ids].sort(), [2, 9]);
  assert.equal(runtime.runs, runs);
});

test("a restored prefix continues like one that was computed", async () => {
  const { session } = await setUp();
  const expected = await after(session, 1, 2, 3, 4);
  await after(session, 1, 2, 3);
  await session.snapshot("prefix");
  await session.forward(ids(9, 9, 9), 1);

  assert.equal(await session.restore("prefix"), true);

  assert.equal(session.length, 3);
  assert.deepEqual(await session.forward(ids(4), 5), expected);
  assert.equal(await session.restore("other"), false);
  assert.equal(session.length, 4);
});

test("a later session restores the prefix from the store, with its last logits", async () => {
  const { session, bridge, store } = await setUp();
  const expected = await after(session, 1, 2, 3, 4);
  const row = await after(session, 1, 2, 3);
  await session.snapshot("prefix");
  await bridge.close();

  const { session: later, runtime } = await setUp(store);
  assert.equal(await later.restore("prefix"), true);

  assert.deepEqual(await later.forward(ids(), 5), row);
  assert.deepEqual(await later.forward(ids(4), 5), expected);
  assert.equal(runtime.runs, 1);
});

test("a damaged snapshot is the same as none", async () => {
  const { session, bridge, store } = await setUp();
  await after(session, 1, 2, 3);
  await session.snapshot("prefix");
  await bridge.close();
  const [path] = (await store.list("snapshots/")).filter((name) => !name.endsWith("index"));
  const bytes = await store.read(path ?? "");
  await store.write(path ?? "", (bytes ?? new Uint8Array()).subarray(0, -8));

  const { session: later } = await setUp(store);

  assert.equal(await later.restore("prefix"), false);
});

test("what is kept for this session only is in memory, and nothing is written", async () => {
  const { session, bridge, store } = await setUp();
  await session.forward(ids(1, 2), 1);
  await session.snapshot("aside", true);
  await session.reset();

  assert.equal(await session.restore("aside"), true);
  assert.equal(session.length, 2);
  await bridge.close();
  assert.deepEqual(await store.list("snapshots/"), []);
});

test("few snapshots are kept: those used last", async () => {
  const { session, bridge, store } = await setUp();
  await session.forward(ids(1), 1);
  for (let index = 0; index < SNAPSHOTS_IN_MEMORY + 3; index++) {
    await session.snapshot(`key ${index}`);
    assert.ok(await session.restore("key 0"));
  }
  await bridge.close();

  const kept = (await store.list("snapshots/")).filter((name) => !name.endsWith("index"));
  assert.equal(kept.length, SNAPSHOTS_IN_STORE);
  const { session: later } = await setUp(store);
  assert.equal(await later.restore(`key ${SNAPSHOTS_IN_MEMORY + 2}`), true);
  assert.equal(await later.restore("key 1"), false);
});

test("every tensor is given back", async () => {
  const { session, bridge, runtime } = await setUp();
  const idle = runtime.liveTensors;
  for (let round = 0; round < 3; round++) {
    await after(session, 1, 2, 3);
    await session.snapshot(`round ${round % 2}`);
    await session.restore("round 0");
    await session.forward(ids(4), 2);
  }
  await session.reset();
  assert.ok(runtime.liveTensors <= 3 * idle);

  await session.close();
  await session.close();
  await bridge.close();
  await bridge.close();

  assert.equal(runtime.liveTensors, 0);
  assert.equal(runtime.liveGraphs, 0);
});

test("an aborted call runs nothing and changes nothing", async () => {
  const { session, runtime } = await setUp();
  await session.forward(ids(1), 1);
  const runs = runtime.runs;

  await assert.rejects(session.forward(ids(2), 1, null, AbortSignal.abort()), kind("aborted"));

  assert.equal(session.length, 1);
  assert.equal(runtime.runs, runs);
});

test("calls at the same time are done in turn", async () => {
  const { session } = await setUp();
  const expected = await after(session, 1, 2, 3);
  await session.reset();

  const [, , last] = await Promise.all([1, 2, 3].map((id) => session.forward(ids(id), 5)));

  assert.deepEqual(last, expected);
});

const wrong: Record<string, (session: OnnxSession) => Promise<unknown>> = {
  "an id outside the vocabulary": (session) => session.forward(ids(50), 1),
  "a negative id": (session) => session.forward(ids(-1), 1),
  "an allowed id outside the vocabulary": (session) => session.forward(ids(1), 1, ids(3, 50)),
  "a k of nothing": (session) => session.forward(ids(1), 0),
  "nothing to rank": (session) => session.forward(ids(), 1),
  "a file that the model does not have": (session) => session.read("../secret"),
};
for (const [name, call] of Object.entries(wrong)) {
  test(`refused: ${name}`, async () => {
    const { session } = await setUp();

    await assert.rejects(call(session), kind("bad_request"));
    assert.equal(session.length, 0);
  });
}

test("more tokens than the context are refused with the numbers, of a sequence and of a vector", async () => {
  const { session } = await setUp();
  await session.forward(ids(1, 2), 1);

  const details = { needed: 41, available: 40 };
  await assert.rejects(session.forward(new Int32Array(39), 1), { kind: "too_long", details });
  await assert.rejects(session.embed(new Int32Array(45), ids(4, 41)), { kind: "too_long", details });
  assert.equal(session.length, 2);
});

test("a closed session says so, and the next load opens a new one", async () => {
  const { session, bridge } = await setUp();
  await session.close();

  await assert.rejects(session.forward(ids(1), 1), kind("closed"));
  const again = await bridge.load(MODEL_URL, { allowDownload: false });
  assert.notEqual(again, session);
  assert.equal(again.length, 0);
});

test("a graph without what the manifest names is a bad model, and is closed", async () => {
  const { server, manifest } = counterModel();
  const graph = { ...(manifest.graph as object), logits: "scores" };
  server.files.set("model.json", { bytes: new TextEncoder().encode(JSON.stringify({ ...manifest, graph })) });
  const runtime = new FakeRuntime();
  const bridge = createOnnxBridge(runtime, { store: memoryStore(), fetch: server.fetch });

  await assert.rejects(bridge.load(MODEL_URL, { allowDownload: true }), kind("bad_model"));
  assert.equal(runtime.liveGraphs, 0);
});

test("threads need shared memory and are no more than the cores", () => {
  const isolated = { crossOriginIsolated: true, SharedArrayBuffer, navigator: { hardwareConcurrency: 2 } };

  assert.equal(usableThreads(8, isolated), 2);
  assert.equal(usableThreads(undefined, isolated), 1);
  assert.equal(usableThreads(undefined, { ...isolated, navigator: { hardwareConcurrency: 16 } }), 4);
  assert.equal(usableThreads(1, isolated), 1);
  assert.equal(usableThreads(8, { ...isolated, crossOriginIsolated: false }), 1);
  assert.equal(usableThreads(8, { ...isolated, SharedArrayBuffer: undefined }), 1);
  assert.equal(
    usableThreads(2, { ...isolated, crossOriginIsolated: undefined, process: { versions: { node: "24" } } }),
    2,
  );
});
