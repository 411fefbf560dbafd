import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { type BridgePort, createOnnxBridge, memoryStore, serveOnnxBridge } from "onnxruntime-web-bridge";
import { counterModel, FakeRuntime, MODEL_URL, pattern } from "../onnxruntime-web-bridge/test/fakes.ts";
import { bridgeAtNeed } from "./inference-bridge.ts";

const IDLE_MS = 1000;

/** A pool of one worker at a time; `log` says when each was started and ended. */
function setUp() {
  const { server } = counterModel(pattern(3000));
  const log: string[] = [];
  const workers: MessageChannel[] = [];
  const bridge = bridgeAtNeed(() => {
    const channel = new MessageChannel();
    const number = workers.push(channel);
    log.push(`start ${number}`);
    const inner = createOnnxBridge(new FakeRuntime(), { store: memoryStore(), fetch: server.fetch });
    serveOnnxBridge(inner, channel.port2 as BridgePort);
    return Object.assign(channel.port1, {
      terminate() {
        log.push(`end ${number}`);
        channel.port1.close();
      },
    }) as unknown as Worker;
  }, IDLE_MS);
  return { bridge, log, workers };
}

test("the worker starts at the first need and ends when its last model has been closed for a while", async () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  const { bridge, log } = setUp();
  assert.deepEqual(log, []);

  const session = await bridge().load(MODEL_URL, { allowDownload: true });
  assert.equal(await bridge().load(MODEL_URL, { allowDownload: true }), session);
  await session.forward(Int32Array.of(1, 2), 3);
  assert.equal(session.length, 2);
  mock.timers.tick(10 * IDLE_MS);
  assert.deepEqual(log, ["start 1"]);

  await session.close();
  mock.timers.tick(IDLE_MS - 1);
  assert.deepEqual(log, ["start 1"]);
  mock.timers.tick(1);
  assert.deepEqual(log, ["start 1", "end 1"]);

  const next = await bridge().load(MODEL_URL, { allowDownload: true });
  assert.notEqual(next, session);
  assert.deepEqual(log, ["start 1", "end 1", "start 2"]);
  await next.close();
  mock.timers.tick(IDLE_MS);
  mock.timers.reset();
  assert.deepEqual(log, ["start 1", "end 1", "start 2", "end 2"]);
});

test("a call in between keeps the worker, and so does a model that is opened again", async () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  const { bridge, log } = setUp();
  const session = await bridge().load(MODEL_URL, { allowDownload: true });
  await session.close();
  mock.timers.tick(IDLE_MS - 1);
  assert.equal(await bridge().availability(MODEL_URL), "available");
  mock.timers.tick(IDLE_MS - 1);
  const again = await bridge().load(MODEL_URL, { allowDownload: false });
  mock.timers.tick(IDLE_MS);
  assert.deepEqual(log, ["start 1"]);

  await bridge().remove(MODEL_URL);
  await assert.rejects(again.forward(Int32Array.of(1), 1), { kind: "closed" });
  mock.timers.tick(IDLE_MS);
  mock.timers.reset();
  assert.deepEqual(log, ["start 1", "end 1"]);
});

test("after a failure of the worker the next need starts another one", async () => {
  const { bridge, log, workers } = setUp();
  const session = await bridge().load(MODEL_URL, { allowDownload: true });
  workers[0]?.port1.dispatchEvent(new Event("error"));

  await assert.rejects(session.forward(Int32Array.of(1), 1), { kind: "closed" });
  assert.deepEqual(log, ["start 1", "end 1"]);
  const next = await bridge().load(MODEL_URL, { allowDownload: true });
  assert.deepEqual(log, ["start 1", "end 1", "start 2"]);
  await next.close();
  workers[1]?.port1.close();
});
