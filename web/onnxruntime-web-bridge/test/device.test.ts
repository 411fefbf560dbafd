import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { createDevice } from "../src/device.ts";
import { type DeviceScope, deviceKey, measureDevice } from "../src/device-probe.ts";
import { choose, type DeviceProfile, type ProbeSpeed } from "../src/device-profile.ts";
import {
  BridgeError,
  createOnnxBridge,
  type FetchFunction,
  type Graph,
  memoryStore,
  type OnnxRuntime,
  type TensorData,
  wasmRuntime,
} from "../src/index.ts";
import { createLocks } from "../src/locks.ts";
import { PROBE, probeModel } from "../src/probe-model.ts";
import { RUNTIME_VERSION } from "../src/wasm-module.ts";
import { counterModel, FakeRuntime, MODEL_URL } from "./fakes.ts";

const GIB = 2 ** 30;
const MB = 1e6;

/** A runtime whose runs take as long as is said; time is `clock`. */
function timedRuntime(clock: { ms: number }, runMs: (threads: number, rows: number) => number): () => OnnxRuntime {
  const open = async (_model: Uint8Array, _external: unknown, threads: number): Promise<Graph> => {
    let rows = 0;
    const tensor = (data: TensorData) => {
      rows = data.shape[0] ?? 0;
      return { data: () => data, release: () => undefined };
    };
    const run = async () => {
      clock.ms += runMs(threads, rows);
      return [];
    };
    const unused = () => assert.fail("the probe needs no more");
    return { inputs: [], outputs: [], tensor, room: unused, append: unused, run, close: async () => undefined };
  };
  return () => ({ open });
}

function scopeOf(changes: Partial<DeviceScope> & { mostPages?: number } = {}): DeviceScope {
  const { mostPages = Number.POSITIVE_INFINITY, ...fields } = changes;
  class Memory {
    #pages: number;
    constructor({ initial }: { initial: number }) {
      this.#pages = initial;
    }
    grow(pages: number): number {
      if (this.#pages + pages > mostPages) throw new RangeError("no");
      this.#pages += pages;
      return this.#pages - pages;
    }
  }
  return {
    crossOriginIsolated: true,
    SharedArrayBuffer,
    navigator: { hardwareConcurrency: 4, deviceMemory: 4, userAgent: "Browser 1" },
    WebAssembly: { validate: WebAssembly.validate, Memory: Memory as unknown as typeof WebAssembly.Memory },
    ...fields,
  };
}

async function measure(scope: DeviceScope, runMs = (threads: number, rows: number) => (4 * (1 + rows / 8)) / threads) {
  const clock = { ms: 0 };
  return measureDevice({ wasm: timedRuntime(clock, runMs), scope, now: () => clock.ms });
}

const speed = (threads: number, tokens_per_second: number, execution_provider: "wasm" | "webgpu" = "wasm") =>
  ({ execution_provider, threads, tokens_per_second, prefill_tokens_per_second: 0 }) satisfies ProbeSpeed;

test("threads are chosen that are worth it, WebGPU where it is clearly faster", () => {
  const cases: [string, ProbeSpeed[], { execution_provider: string; threads: number }][] = [
    ["nothing measured", [], { execution_provider: "wasm", threads: 3 }],
    ["one", [speed(1, 100)], { execution_provider: "wasm", threads: 1 }],
    ["two gain", [speed(2, 150), speed(1, 100)], { execution_provider: "wasm", threads: 2 }],
    ["two gain too little", [speed(1, 100), speed(2, 114)], { execution_provider: "wasm", threads: 1 }],
    ["four are slower", [speed(1, 100), speed(2, 150), speed(4, 90)], { execution_provider: "wasm", threads: 2 }],
    ["four gain", [speed(1, 100), speed(2, 110), speed(4, 140)], { execution_provider: "wasm", threads: 4 }],
    ["GPU", [speed(1, 100), speed(2, 150), speed(1, 188, "webgpu")], { execution_provider: "webgpu", threads: 2 }],
    [
      "GPU too slow",
      [speed(1, 100), speed(2, 150), speed(1, 187, "webgpu")],
      { execution_provider: "wasm", threads: 2 },
    ],
    ["GPU alone proves nothing", [speed(1, 900, "webgpu")], { execution_provider: "wasm", threads: 3 }],
  ];
  for (const [name, speeds, expected] of cases) assert.deepEqual(choose(speeds, 3), expected, name);
});

test("a profile says what was measured", async () => {
  const profile = await measure(scopeOf());

  const { measured_at, took_ms, key, ...rest } = profile;
  assert.ok(took_ms > 0 && measured_at > 0);
  assert.match(key, new RegExp(`^${RUNTIME_VERSION} .*Browser 1.*isolated`));
  assert.deepEqual(rest, {
    version: 1,
    is_isolated: true,
    cores: 4,
    has_simd: true,
    gpu: null,
    memory: { device_bytes: 4 * GIB, allocation_bytes: GIB, budget_bytes: GIB },
    is_noisy: false,
    speeds: [
      { execution_provider: "wasm", threads: 1, tokens_per_second: 222.2, prefill_tokens_per_second: 1600 },
      { execution_provider: "wasm", threads: 2, tokens_per_second: 444.4, prefill_tokens_per_second: 3200 },
      { execution_provider: "wasm", threads: 4, tokens_per_second: 888.9, prefill_tokens_per_second: 6400 },
    ],
    execution_provider: "wasm",
    threads: 4,
  });
});

test("without isolation one thread is measured", async () => {
  const profile = await measure(scopeOf({ crossOriginIsolated: false }));

  assert.deepEqual(
    profile.speeds.map(({ threads }) => threads),
    [1],
  );
  assert.equal(profile.threads, 1);
});

test("runs that take longer now and then are those of a busy machine; the best of them counts", async () => {
  let runs = 0;
  const busy = await measure(scopeOf(), (threads) => (runs++ % 8 < 5 ? 40 : 8) / threads);
  runs = 0;
  const quiet = await measure(scopeOf(), (threads) => (runs++ % 40 === 39 ? 40 : 8) / threads);

  assert.deepEqual([busy.is_noisy, quiet.is_noisy], [true, false]);
  assert.deepEqual(busy.speeds[0]?.tokens_per_second, 125);
  assert.deepEqual(quiet.speeds[0]?.tokens_per_second, 125);
});

test("a slow device is not kept busy: no further runtime is started after some seconds", async () => {
  const profile = await measure(scopeOf(), () => 300);

  assert.deepEqual(
    profile.speeds.map(({ threads }) => threads),
    [1],
  );
});

test("the memory budget is the least of what is safe and what can be had", async () => {
  const budgets = [
    [scopeOf({ navigator: { deviceMemory: 0.5 } }), GIB / 8],
    [scopeOf({ navigator: { deviceMemory: 64 } }), 2 * GIB],
    [scopeOf({ navigator: {} }), GIB],
    [scopeOf({ mostPages: 5000 }), 2 * (GIB / 8)],
    [scopeOf({ mostPages: 0 }), 0],
  ] as const;
  for (const [scope, expected] of budgets) assert.equal((await measure(scope)).memory.budget_bytes, expected);
});

const limits = { maxBufferSize: GIB, maxStorageBufferBindingSize: 128 * MB };
const features = new Set(["shader-f16"]);
const adapter = (info: object, more: object = {}) => ({ info, features, limits, ...more });

test("a program that plays a graphics processor is told from a real one, and not measured", async () => {
  const adapters = [
    [adapter({ vendor: "google", architecture: "swiftshader" }), true],
    [adapter({ vendor: "mesa", description: "llvmpipe (LLVM 19)" }), true],
    [adapter({ vendor: "x", isFallbackAdapter: true }), true],
    [adapter({ vendor: "x" }, { isFallbackAdapter: true }), true],
    [adapter({ vendor: "nvidia", architecture: "ampere" }), false],
  ] as const;
  for (const [found, is_fallback] of adapters) {
    const clock = { ms: 0 };
    const gpu = { requestAdapter: async () => found };
    const profile = await measureDevice({
      wasm: timedRuntime(clock, () => 4),
      webgpu: timedRuntime(clock, () => 1),
      scope: scopeOf({ navigator: { hardwareConcurrency: 1, gpu } }),
      now: () => clock.ms,
    });
    assert.equal(profile.gpu?.is_fallback, is_fallback);
    assert.deepEqual([profile.gpu?.has_float16, profile.gpu?.max_buffer_bytes], [true, GIB]);
    assert.equal(profile.execution_provider, is_fallback ? "wasm" : "webgpu");
    assert.equal(profile.speeds.length, is_fallback ? 1 : 2);
  }
});

test("an adapter that fails, or a runtime that does not start, is none", async () => {
  const clock = { ms: 0 };
  const profile = await measureDevice({
    wasm: timedRuntime(clock, () => 4),
    webgpu: () => assert.fail("does not start"),
    scope: scopeOf({ navigator: { gpu: { requestAdapter: () => Promise.reject(new Error("blocked")) } } }),
    now: () => clock.ms,
  });
  assert.deepEqual([profile.gpu, profile.execution_provider], [null, "wasm"]);
});

test("the version that is driven is the one that the package asks for", () => {
  const wanted = JSON.parse(readFileSync(join(import.meta.dirname, "../package.json"), "utf8"));
  assert.equal(wanted.peerDependencies["onnxruntime-web"], RUNTIME_VERSION);
});

test("the key changes with browser, isolation and cores, and with nothing else", () => {
  const key = deviceKey(scopeOf());
  assert.equal(deviceKey(scopeOf({ mostPages: 1 })), key);
  assert.notEqual(deviceKey(scopeOf({ crossOriginIsolated: false })), key);
  const other = { hardwareConcurrency: 4, deviceMemory: 4, userAgent: "Browser 2" };
  assert.notEqual(deviceKey(scopeOf({ navigator: other })), key);
  assert.notEqual(deviceKey(scopeOf({ navigator: { ...other, userAgent: "Browser 1", hardwareConcurrency: 2 } })), key);
});

async function profileWith(changes: Partial<DeviceProfile>): Promise<DeviceProfile> {
  return { ...(await measure(scopeOf())), key: "this device", ...changes };
}

test("measured once: by two tabs at the same time, and by later visits, until the key changes", async () => {
  const store = memoryStore();
  const locks = createLocks(undefined);
  const profile = await profileWith({});
  let measured = 0;
  const meter = (key: string) => ({ key, measure: async () => ({ ...profile, key, took_ms: ++measured }) });

  const tabs = [createDevice(store, locks, meter("one")), createDevice(store, locks, meter("one"))];
  const found = await Promise.all(tabs.map((tab) => tab.profile()));
  assert.deepEqual(
    found.map((one) => one?.took_ms),
    [1, 1],
  );
  assert.equal((await createDevice(store, locks, meter("one")).profile())?.took_ms, 1);
  assert.equal((await createDevice(store, locks, meter("two")).profile())?.took_ms, 2);
  assert.equal(measured, 2);
});

const unsure = { "nothing was measured in time": { speeds: [] }, "the machine was busy": { is_noisy: true } };
for (const [why, changes] of Object.entries(unsure))
  test(`a device is measured again an hour later when ${why}`, async () => {
    const store = memoryStore();
    const locks = createLocks(undefined);
    const none = await profileWith({ key: "k", measured_at: 1000, ...changes });
    let measured = 0;
    const meter = { key: "k", measure: async () => ({ ...none, took_ms: ++measured }) };
    const at = async (ms: number) => (await createDevice(store, locks, meter, () => ms).profile())?.took_ms;

    assert.deepEqual([await at(1000), await at(2000), await at(1000 + 3_600_000)], [1, 1, 2]);
  });

test("a damaged profile is measured again, and one that can't be measured is none", async () => {
  const store = memoryStore();
  await store.write("device/profile.json", new TextEncoder().encode('{"version":'));
  const profile = await profileWith({ key: "k" });
  const locks = createLocks(undefined);

  assert.equal(await createDevice(store, locks, { key: "k", measure: async () => profile }).profile(), profile);
  const failing = { key: "other", measure: () => Promise.reject(new Error("no")) };
  assert.equal(await createDevice(store, locks, failing).profile(), undefined);
  assert.equal(await createDevice(store, locks, undefined).profile(), undefined);
});

/** The same model at another address. */
const TWIN_URL = MODEL_URL.replace("counter", "twin");

async function setUp(changes: Partial<DeviceProfile>, memory_bytes = 1000) {
  const { server, manifest } = counterModel();
  server.files.set("model.json", { bytes: new TextEncoder().encode(JSON.stringify({ ...manifest, memory_bytes })) });
  const profile = await profileWith(changes);
  const runtime = new FakeRuntime();
  const fetch: FetchFunction = (url, init) => server.fetch(url.replace(TWIN_URL, MODEL_URL), init);
  const meter = { key: profile.key, measure: async () => profile };
  const bridge = createOnnxBridge(runtime, { store: memoryStore(), fetch, meter });
  return { server, runtime, bridge, profile };
}

const memoryOf = (budget_bytes: number) => ({ device_bytes: null, allocation_bytes: budget_bytes, budget_bytes });

test("a model that needs more memory than there is is refused with the numbers, before anything is fetched", async () => {
  const { bridge, server } = await setUp({ memory: memoryOf(200 * MB) }, 300 * MB);

  for (const attempt of [bridge.load(MODEL_URL, { allowDownload: true }), bridge.download(MODEL_URL)]) {
    await assert.rejects(attempt, (error) => {
      assert.ok(error instanceof BridgeError);
      assert.deepEqual([error.kind, error.details], ["too_big", { needed: 300 * MB, available: 200 * MB }]);
      assert.equal(error.message, "counter needs 300 MB of memory, this device gives 200 MB");
      return true;
    });
  }
  assert.deepEqual(server.downloads, []);
  assert.deepEqual(await bridge.list(), []);
});

test("without a need in the manifest its files are what it needs; what just fits is taken", async () => {
  const { bridge } = await setUp({ memory: memoryOf(1012) }, 0);
  await assert.rejects(bridge.load(MODEL_URL, { allowDownload: true }), { details: { needed: 1013, available: 1012 } });

  const roomy = await setUp({ memory: memoryOf(1013) }, 0);
  assert.equal((await roomy.bridge.load(MODEL_URL, { allowDownload: true })).length, 0);
});

test("a model that is open does not stand in its own way", async () => {
  const { bridge } = await setUp({ memory: memoryOf(500 * MB) }, 300 * MB);
  await bridge.load(MODEL_URL, { allowDownload: true });
  await bridge.download(MODEL_URL);
});

test("what open models take is not there for others, until they are closed", async () => {
  const { bridge } = await setUp({ memory: memoryOf(500 * MB) }, 300 * MB);
  const session = await bridge.load(MODEL_URL, { allowDownload: true });

  await assert.rejects(bridge.load(TWIN_URL, { allowDownload: true }), {
    kind: "too_big",
    message: "counter needs 300 MB of memory, this device gives 200 MB beside the 300 MB of open models",
  });
  await session.close();
  assert.notEqual(await bridge.load(TWIN_URL, { allowDownload: true }), session);
});

test("the profile's threads are used unless the caller says otherwise", async () => {
  const cores = globalThis.navigator?.hardwareConcurrency ?? 1;
  const { bridge, runtime } = await setUp({ threads: 2 });

  await (await bridge.load(MODEL_URL, { allowDownload: true })).close();
  await (await bridge.load(MODEL_URL, { allowDownload: true, threads: 1 })).close();

  assert.deepEqual(runtime.threads, [Math.min(2, cores), 1]);
});

test("a bridge tells its profile, and null without a meter", async () => {
  const { bridge, profile } = await setUp({});
  assert.equal(await bridge.device(), profile);
  assert.equal(await createOnnxBridge(new FakeRuntime(), { store: memoryStore() }).device(), null);
});

test("ONNX Runtime takes the probe's graph and multiplies as it says", async () => {
  const resolve = createRequire(import.meta.url).resolve;
  const runtime = wasmRuntime(pathToFileURL(resolve("onnxruntime-web/ort-wasm-simd-threaded.mjs")));
  const graph = await runtime.open(probeModel(), new Map(), 1, true);
  const row = Float32Array.from({ length: PROBE.width }, (_, index) => Math.sin(index));
  const bytes = new Uint8Array(row.buffer);
  const input = graph.tensor({ type: "float32", shape: [1, PROBE.width], bytes });

  const [output] = await graph.run(new Map([[PROBE.input, input]]), [PROBE.output]);

  const found = output?.data();
  assert.deepEqual(found?.shape, [1, PROBE.width]);
  const values = new Float32Array((found?.bytes.slice() ?? new Uint8Array()).buffer);
  const expected = reference(row);
  const largest = Math.max(...expected.map(Math.abs));
  const changed = expected.filter((value, index) => Math.abs(value - (row[index] ?? 0)) > largest / 20);
  assert.ok(changed.length > PROBE.width / 2, "the products count for something");
  const errors = expected.map((value, index) => Math.abs(value - (values[index] ?? 0)) / largest);
  assert.ok(Math.max(...errors) < 0.01, `off by ${Math.max(...errors)}`);
  output?.release();
  input.release();
  await graph.close();
});

/** The same in plain loops: `x + relu(x @ up) @ down` for each layer, with rows rounded to 8 bits before each product. */
function reference(row: Float32Array): number[] {
  const weight = (index: number) => (((index * 31) % 61) - 30) / 500;
  const times = (values: number[], columns: number) => {
    const step = (Math.max(0, ...values) - Math.min(0, ...values)) / 255;
    const rounded = values.map((value) => Math.round(value / step) * step);
    return Array.from({ length: columns }, (_, column) =>
      rounded.reduce((sum, value, index) => sum + value * weight(index * columns + column), 0),
    );
  };
  let values = [...row];
  for (let layer = 0; layer < PROBE.layers; layer++) {
    const hidden = times(values, PROBE.inner).map((value) => Math.max(0, value));
    const added = times(hidden, PROBE.width);
    values = values.map((value, index) => value + (added[index] ?? 0));
  }
  return values;
}
