/** A runtime whose device goes away after some runs, and one that stays. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { unmeasured } from "../src/device-probe.ts";
import type { DeviceProfile } from "../src/device-profile.ts";
import { createOnnxBridge, type Graph, type ModelStore, memoryStore, type OnnxSession } from "../src/index.ts";
import { counterModel, FakeRuntime, MODEL_URL, placedModel } from "./fakes.ts";

/** As ONNX Runtime says it (WebGPU, 1.30). */
const LOST = "failed to call OrtRun(). ERROR_CODE: 1, ERROR_MESSAGE: WebGPU device lost (2): device was destroyed";

class FragileRuntime extends FakeRuntime {
  runsLeft = Number.POSITIVE_INFINITY;
  opens = 0;

  override async open(model: Uint8Array, external: ReadonlyMap<string, Uint8Array>, threads: number): Promise<Graph> {
    this.opens++;
    if (this.runsLeft <= 0) throw new Error(LOST);
    const graph = await super.open(model, external, threads);
    return {
      ...graph,
      run: async (...given) => {
        if (this.runsLeft-- <= 0) throw new Error(LOST);
        return graph.run(...given);
      },
    };
  }
}

const ids = (...values: number[]) => Int32Array.from(values);

async function setUp(make = counterModel, store: ModelStore = memoryStore()) {
  const { server } = make();
  const [gpu, wasm] = [new FragileRuntime(), new FakeRuntime()];
  const profile: DeviceProfile = { ...unmeasured(), execution_provider: "webgpu" };
  const meter = { key: profile.key, measure: async () => profile };
  const bridge = createOnnxBridge(wasm, { store, fetch: server.fetch, meter, gpuRuntime: gpu });
  const open = () => bridge.load(MODEL_URL, { allowDownload: true });
  return { bridge, gpu, wasm, open, store };
}

async function expectedAfter(make: typeof counterModel, ...tokens: number[]) {
  const { server } = make();
  const bridge = createOnnxBridge(new FakeRuntime(), { store: memoryStore(), fetch: server.fetch });
  const session = await bridge.load(MODEL_URL, { allowDownload: true });
  return session.forward(ids(...tokens), 5);
}

test("while the device is there only it is used", async () => {
  const { open, gpu, wasm, bridge } = await setUp();
  const session = await open();

  assert.deepEqual(await session.forward(ids(1, 2), 5), await expectedAfter(counterModel, 1, 2));
  assert.deepEqual([gpu.opens, wasm.threads.length], [1, 0]);
  assert.equal(await open(), session);
  await session.close();
  assert.deepEqual([gpu.liveGraphs, gpu.liveTensors], [0, 0]);
  assert.notEqual(await open(), session);
  await bridge.close();
});

test("a device that is lost in the middle costs a replay and nothing else", async () => {
  const { open, gpu, wasm, bridge } = await setUp();
  const session = await open();
  await session.forward(ids(1, 2, 3), 5);
  gpu.runsLeft = 0;

  const after = await session.forward(ids(4), 5);

  assert.deepEqual(after, await expectedAfter(counterModel, 1, 2, 3, 4));
  assert.equal(session.length, 4);
  assert.deepEqual([gpu.liveGraphs, wasm.liveGraphs], [0, 1]);
  assert.deepEqual(await session.forward(ids(), 5), after);
  await session.close();
  await bridge.close();
  assert.deepEqual([wasm.liveGraphs, wasm.liveTensors], [0, 0]);
});

test("after a loss other models are not put there any more", async () => {
  const { open, gpu, wasm } = await setUp();
  const session = await open();
  gpu.runsLeft = 0;
  await session.forward(ids(1), 5);
  await session.close();
  gpu.runsLeft = Number.POSITIVE_INFINITY;

  const again = await open();

  assert.notEqual(again, session);
  assert.deepEqual([gpu.opens, wasm.threads.length], [1, 2]);
});

test("a device that is gone before the model is open", async () => {
  const { open, gpu, wasm } = await setUp();
  gpu.runsLeft = 0;
  const session = await open();
  assert.deepEqual(await session.forward(ids(7), 5), await expectedAfter(counterModel, 7));
  assert.equal(wasm.liveGraphs, 1);
});

const steps: [string, (session: OnnxSession) => Promise<unknown>, number[]][] = [
  [
    "a snapshot was restored",
    async (session) => {
      await session.forward(ids(1, 2), 1);
      await session.snapshot("a");
      await session.forward(ids(9, 9), 1);
      await session.restore("a");
      await session.forward(ids(3), 1);
    },
    [1, 2, 3],
  ],
  [
    "a snapshot was made of a restored one, under the same key",
    async (session) => {
      await session.forward(ids(1, 2), 1);
      await session.snapshot("a");
      await session.restore("a");
      await session.forward(ids(3), 1);
      await session.snapshot("a");
      await session.restore("a");
    },
    [1, 2, 3],
  ],
  [
    "the sequence was forgotten",
    async (session) => {
      await session.forward(ids(1, 2), 1);
      await session.reset();
      await session.forward(ids(5), 1);
    },
    [5],
  ],
  [
    "it was shortened, in its last part and in its snapshot",
    async (session) => {
      await session.forward(ids(1, 2, 3, 4), 1);
      await session.snapshot("a");
      await session.restore("a");
      await session.forward(ids(8, 8), 1);
      assert.equal(await session.rewind(5), true);
      assert.equal(await session.rewind(2), true);
      await session.forward(ids(6), 1);
    },
    [1, 2, 6],
  ],
];
for (const isStored of [true, false]) {
  for (const [name, act, tokens] of steps) {
    test(`lost after ${name}; snapshots are ${isStored ? "in the store" : "lost too"}`, async () => {
      const store = memoryStore();
      const kept: ModelStore = isStored
        ? store
        : { ...store, read: async (path) => (path.startsWith("snapshots/") ? undefined : store.read(path)) };
      const { open, gpu } = await setUp(placedModel, kept);
      const session = await open();
      await act(session);
      gpu.runsLeft = 0;

      const after = await session.forward(ids(11), 5);

      assert.deepEqual(after, await expectedAfter(placedModel, ...tokens, 11));
      assert.equal(session.length, tokens.length + 1);
    });
  }
}

test("a state that only the device and a lost file had is lost, and that is said", async () => {
  let isLost = false;
  const kept = memoryStore();
  const read = async (path: string) => (isLost && path.startsWith("snapshots/") ? undefined : kept.read(path));
  const store: ModelStore = { ...kept, read };
  const first = await setUp(placedModel, store);
  const before = await first.open();
  await before.forward(ids(1, 2), 1);
  await before.snapshot("a");
  await first.bridge.close();
  const { open, gpu } = await setUp(placedModel, store);
  const session = await open();
  assert.equal(await session.restore("a"), true);
  await session.snapshot("a");
  isLost = true;
  gpu.runsLeft = 0;

  await assert.rejects(session.forward(ids(3), 1), { kind: "closed" });
});

test("calls that wait together are answered in their order", async () => {
  const { open, gpu } = await setUp();
  const session = await open();
  await session.forward(ids(1), 1);
  gpu.runsLeft = 0;

  const [, second] = await Promise.all([session.forward(ids(2), 5), session.forward(ids(3), 5)]);

  assert.deepEqual(second, await expectedAfter(counterModel, 1, 2, 3));
});

test("another failure is the caller's, and nothing is opened for it", async () => {
  const { open, wasm } = await setUp();
  const session = await open();
  await assert.rejects(session.forward(ids(999), 5), { kind: "bad_request" });
  assert.equal(wasm.threads.length, 0);
});

test("when the other runtime has no room either, that is the error", async () => {
  const { open, gpu, wasm } = await setUp(placedModel);
  const session = await open();
  gpu.runsLeft = 0;
  wasm.largestRoom = 1;

  await assert.rejects(session.forward(ids(1), 5), { kind: "out_of_memory" });
  await session.close();
});
