import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { createToolPool, type PoolMessage, type PoolWorker, poolSize } from "./tool-pool.ts";

/** Keeps the calls that it was sent, until the test answers. */
class FakeWorker implements PoolWorker {
  onmessage: PoolWorker["onmessage"] = null;
  onerror: PoolWorker["onerror"] = null;
  readonly calls: string[] = [];
  isEnded = false;

  postMessage(call: string): void {
    this.calls.push(call);
  }

  terminate(): void {
    this.isEnded = true;
  }

  say(message: PoolMessage): void {
    this.onmessage?.({ data: message } as MessageEvent<PoolMessage>);
  }
}

function makePool(size: number, idleMs?: number) {
  const workers: FakeWorker[] = [];
  const pool = createToolPool(
    async () => {
      const worker = new FakeWorker();
      workers.push(worker);
      return worker;
    },
    size,
    idleMs,
  );
  return { pool, workers };
}

const turn = () => new Promise((resolve) => setImmediate(resolve));
mock.timers.enable({ apis: ["setTimeout"] });
const ignore = () => undefined;

test("a worker is used again, and a second one started while it is busy", async () => {
  const { pool, workers } = makePool(2);
  const [one, two] = [pool.call("1", ignore), pool.call("2", ignore)];
  await turn();
  workers[0]?.say({ answer: "first" });
  workers[1]?.say({ answer: "second" });

  assert.deepEqual(await Promise.all([one.promise, two.promise]), ["first", "second"]);
  const three = pool.call("3", ignore);
  await turn();
  workers[1]?.say({ answer: "third" });

  assert.equal(await three.promise, "third");
  assert.deepEqual(
    workers.map((worker) => worker.calls),
    [["1"], ["2", "3"]],
  );
});

test("what is more than the pool can hold waits its turn, and can be stopped meanwhile", async () => {
  const { pool, workers } = makePool(1);
  const one = pool.call("1", ignore);
  const [two, three] = [pool.call("2", ignore), pool.call("3", ignore)];
  await turn();
  two.abort();
  workers[0]?.say({ answer: "first" });
  await one.promise;
  await assert.rejects(two.promise, { name: "AbortError" });
  await turn();
  workers[0]?.say({ answer: "third" });

  assert.equal(await three.promise, "third");
  assert.deepEqual(workers[0]?.calls, ["1", "3"]);
});

test("a stop ends the worker, and nothing is told any more", async () => {
  const { pool, workers } = makePool(1);
  const told: string[] = [];
  const one = pool.call("1", (content) => told.push(content));
  await turn();
  workers[0]?.say({ progress: "half" });
  one.abort();
  workers[0]?.say({ progress: "late" });
  await assert.rejects(one.promise, { name: "AbortError" });
  const two = pool.call("2", ignore);
  await turn();
  workers[1]?.say({ answer: "second" });

  assert.equal(await two.promise, "second");
  assert.deepEqual(told, ["half"]);
  assert.deepEqual([workers[0]?.isEnded, workers[1]?.isEnded], [true, false]);
});

test("a worker that breaks down is told and replaced", async () => {
  const { pool, workers } = makePool(1);
  const one = pool.call("1", ignore);
  await turn();
  workers[0]?.onerror?.({ message: "out of memory" } as ErrorEvent);
  await assert.rejects(one.promise, /out of memory/);
  const two = pool.call("2", ignore);
  await turn();
  workers[1]?.say({ failure: "no Python" });

  await assert.rejects(two.promise, /no Python/);
  assert.deepEqual(
    workers.map((worker) => worker.isEnded),
    [true, true],
  );
});

test("a worker that nobody needs is ended after a while", async () => {
  const { pool, workers } = makePool(1, 1000);
  const one = pool.call("1", ignore);
  await turn();
  workers[0]?.say({ answer: "first" });
  await one.promise;
  mock.timers.tick(999);
  assert.equal(workers[0]?.isEnded, false);
  mock.timers.tick(1);
  assert.equal(workers[0]?.isEnded, true);
  const two = pool.call("2", ignore);
  await turn();
  workers[1]?.say({ answer: "second" });

  assert.equal(await two.promise, "second");
});

test("two tools never wait for each other for want of workers", () => {
  assert.deepEqual([1, 2, 8].map(poolSize), [2, 2, 7]);
});
