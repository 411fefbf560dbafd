/** State in place: the calls that differ from those of a copied state, and those that must not. */

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  BridgeError,
  createOnnxBridge,
  type Forward,
  type ModelStore,
  memoryStore,
  type OnnxSession,
} from "../src/index.ts";
import { LEAST_CAPACITY } from "../src/placed-sequence.ts";
import { SNAPSHOT_BYTES_IN_STORE } from "../src/snapshot.ts";
import { counterModel, FakeRuntime, MODEL_URL, placedModel } from "./fakes.ts";

async function setUp(store = memoryStore(), model = placedModel()) {
  const runtime = new FakeRuntime();
  const bridge = createOnnxBridge(runtime, { store, fetch: model.server.fetch });
  const session = await bridge.load(MODEL_URL, { allowDownload: true });
  return { runtime, bridge, session, store };
}

const ids = (...values: number[]) => Int32Array.from(values);
const LONG = Int32Array.from({ length: LEAST_CAPACITY + 30 }, (_, place) => place % 50);

async function after(session: OnnxSession, tokens: Int32Array): Promise<Forward> {
  await session.reset();
  return session.forward(tokens, 5);
}

function kind(expected: string) {
  return (error: unknown) => error instanceof BridgeError && error.kind === expected;
}

test("tokens at once and one by one give the same", async () => {
  const { session } = await setUp();
  const whole = await after(session, ids(3, 1, 4, 1, 5));

  await session.reset();
  for (const id of [3, 1, 4, 1]) await session.forward(ids(id), 1);

  assert.deepEqual(await session.forward(ids(5), 5), whole);
  assert.equal(session.length, 5);
});

for (const length of [0, 1, 4]) {
  test(`after rewinding to ${length} nothing of the rest is left`, async () => {
    const { session, runtime } = await setUp();
    const tokens = ids(3, 1, 4, 1, 5);
    const expected = await after(session, Int32Array.from([...tokens.slice(0, length), 7, 8]));
    await after(session, tokens);
    const runs = runtime.runs;

    assert.equal(await session.rewind(length), true);

    assert.equal(session.length, length);
    await assert.rejects(session.forward(ids(), 1), kind("bad_request"));
    assert.deepEqual(await session.forward(ids(7, 8), 5), expected);
    assert.equal(runtime.runs, runs + 1);
  });
}

test("rewinding to where it is changes nothing, in either kind of model", async () => {
  for (const model of [placedModel(), counterModel()]) {
    const { session } = await setUp(memoryStore(), model);
    const expected = await after(session, ids(3, 1));

    assert.equal(await session.rewind(2), true);
    assert.deepEqual(await session.forward(ids(), 5), expected);
  }
});

test("what can't be rewound stays as it is", async () => {
  for (const [model, length] of [
    [placedModel(), 3],
    [placedModel(), -1],
    [counterModel(), 1],
    [counterModel(), 3],
  ] as const) {
    const { session } = await setUp(memoryStore(), model);
    const expected = await after(session, ids(3, 1));

    assert.equal(await session.rewind(length), false);
    assert.equal(session.length, 2);
    assert.deepEqual(await session.forward(ids(), 5), expected);
  }
});

test("buffers that grow keep what is in them", async () => {
  const { session, runtime } = await setUp();
  const expected = await after(session, LONG);

  const { session: growing } = await setUp();
  for (let start = 0; start < LONG.length; start += 11) await growing.forward(LONG.subarray(start, start + 11), 1);

  assert.deepEqual(await growing.forward(ids(), 5), expected);
  assert.equal(runtime.liveTensors, 1);
});

test("without memory to grow everything stays as it was", async () => {
  const { session, runtime } = await setUp();
  const expected = await after(session, LONG.subarray(0, 200));
  runtime.largestRoom = 2 * LEAST_CAPACITY * 8;

  await assert.rejects(session.forward(LONG, 1), kind("out_of_memory"));

  assert.equal(session.length, 200);
  assert.deepEqual(await session.forward(ids(), 5), expected);
  await session.close();
  assert.equal(runtime.liveTensors, 0);
});

test("a snapshot is of that moment, and survives the session", async () => {
  const { session, bridge, store } = await setUp();
  const expected = await after(session, ids(3, 1, 4, 9));
  const row = await after(session, ids(3, 1, 4));
  await session.snapshot("prefix");
  await after(session, LONG);

  assert.equal(await session.restore("prefix"), true);
  assert.equal(session.length, 3);
  assert.deepEqual(await session.forward(ids(), 5), row);
  assert.deepEqual(await session.forward(ids(9), 5), expected);
  await bridge.close();

  const { session: later, runtime } = await setUp(store);
  assert.equal(await later.restore("prefix"), true);
  assert.deepEqual(await later.forward(ids(), 5), row);
  assert.deepEqual(await later.forward(ids(9), 5), expected);
  assert.equal(runtime.runs, 1);
});

test("a call that fails leaves the sequence as it was", async () => {
  const { session } = await setUp();
  await after(session, ids(3, 1, 4));

  await assert.rejects(session.forward(new Int32Array(598), 1), kind("too_long"));
  await assert.rejects(session.forward(ids(2), 1, null, AbortSignal.abort()), kind("aborted"));
  await assert.rejects(session.embed(ids(1), ids(1)), kind("bad_request"));

  assert.equal(session.length, 3);
  const { session: other } = await setUp();
  assert.deepEqual(await session.forward(ids(2), 5), await after(other, ids(3, 1, 4, 2)));
});

test("snapshots are as many as there is memory for", async () => {
  const { session, bridge, store } = await setUp(largeStore());
  await after(session, LONG);
  for (const key of ["one", "two", "three"]) await session.snapshot(key);
  await bridge.close();

  const kept = (await store.list("snapshots/")).filter((name) => !name.endsWith("index"));
  assert.equal(kept.length, 2);
  const { session: later } = await setUp(store);
  assert.deepEqual([await later.restore("one"), await later.restore("three")], [false, true]);
});

/** A store that says of each file that it is as large as that two fit and three don't. */
function largeStore(): ModelStore {
  const store = memoryStore();
  const size = (path: string) => store.size(path);
  return { ...store, size: async (path) => (path.startsWith("snapshots/") ? SNAPSHOT_BYTES_IN_STORE / 2 : size(path)) };
}

test("everything is given back", async () => {
  const { session, bridge, runtime } = await setUp();
  for (let round = 0; round < 3; round++) {
    await after(session, LONG);
    await session.snapshot(`round ${round}`);
    await session.rewind(10);
    await session.restore("round 0");
  }

  await bridge.close();

  assert.equal(runtime.liveTensors, 0);
  assert.equal(runtime.liveGraphs, 0);
});
