/** With ONNX Runtime itself, over the model that `models/tiny/make.py` writes. */

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { pathToFileURL } from "node:url";
import {
  apiRuntime,
  BridgeError,
  createOnnxBridge,
  memoryStore,
  type OnnxRuntime,
  type OnnxSession,
  wasmRuntime,
} from "../src/index.ts";
import { fileFetch, nodeFileStore } from "../src/node.ts";

const MODEL = pathToFileURL(join(import.meta.dirname, "../../../build/models/tiny/"));
const CHAT = pathToFileURL(join(import.meta.dirname, "../../../build/models/tiny-chat/"));
const skip = existsSync(new URL("model.json", MODEL)) ? false : "build/models/tiny is not built";
const skipChat = existsSync(new URL("model.json", CHAT)) ? false : "build/models/tiny-chat is not built";
const resolve = createRequire(import.meta.url).resolve;
const PROMPT = Int32Array.of(2, 40, 41, 99, 250, 17, 33, 120, 7, 64);

const folder = await mkdtemp(join(tmpdir(), "bridge-"));
after(() => rm(folder, { recursive: true, force: true }));

const runtimes: Record<string, () => Promise<OnnxRuntime>> = {
  wasm: async () => wasmRuntime(pathToFileURL(resolve("onnxruntime-web/ort-wasm-simd-threaded.mjs"))),
  api: async () => apiRuntime(await import("onnxruntime-web/wasm")),
};

async function greedy(session: OnnxSession, count: number): Promise<{ tokens: number[]; logits: number[] }> {
  let reply = await session.forward(new Int32Array(), 3);
  const tokens: number[] = [];
  const logits: number[] = [];
  while (tokens.length < count) {
    tokens.push(reply.ids[0] ?? -1);
    logits.push(reply.logits[0] ?? Number.NaN);
    reply = await session.forward(Int32Array.from(tokens.slice(-1)), 3);
  }
  return { tokens, logits };
}

function assertClose(actual: readonly number[], expected: readonly number[]): void {
  assert.equal(actual.length, expected.length);
  for (const [index, value] of actual.entries()) assert.ok(Math.abs(value - (expected[index] ?? 0)) < 1e-3);
}

for (const [name, start] of Object.entries(runtimes)) {
  test(`${name}: pieces of any size, a restored prefix and a later session give the same tokens`, {
    skip,
  }, async () => {
    const store = nodeFileStore(join(folder, name));
    const bridge = createOnnxBridge(await start(), { store, fetch: fileFetch });
    const session = await bridge.load(MODEL.href, { allowDownload: true, threads: 1 });
    await session.forward(PROMPT, 1);
    await session.snapshot("prompt");
    const whole = await greedy(session, 12);

    await session.reset();
    for (const id of PROMPT) await session.forward(Int32Array.of(id), 1);
    const stepwise = await greedy(session, 12);
    assert.deepEqual(stepwise.tokens, whole.tokens);
    assertClose(stepwise.logits, whole.logits);

    assert.equal(await session.restore("prompt"), true);
    assert.deepEqual(await greedy(session, 12), whole);
    // The first continuation wrote behind the rows of the snapshot; the second one must not see them.
    assert.equal(await session.restore("prompt"), true);
    await session.forward(Int32Array.of(5, 6, 7), 1);
    assert.equal(await session.restore("prompt"), true);
    assert.deepEqual(await greedy(session, 12), whole);
    await bridge.close();

    const again = createOnnxBridge(await start(), { store, fetch: fileFetch });
    const later = await again.load(MODEL.href, { allowDownload: false, threads: 1 });
    assert.equal(await later.restore("prompt"), true);
    assert.equal(later.length, PROMPT.length);
    assert.deepEqual(await greedy(later, 12), whole);
    await again.close();
  });
}

for (const [name, start] of Object.entries(runtimes)) {
  test(`${name}: state in place gives the same in pieces, rewound, grown and restored`, {
    skip: skipChat,
  }, async () => {
    const bridge = createOnnxBridge(await start(), { store: memoryStore(), fetch: fileFetch });
    const session = await bridge.load(CHAT.href, { allowDownload: true, threads: 1 });
    await session.forward(PROMPT, 1);
    await session.snapshot("prompt");
    const whole = await greedy(session, 12);

    assert.equal(await session.rewind(4), true);
    for (const id of PROMPT.subarray(4)) await session.forward(Int32Array.of(id), 1);
    const stepwise = await greedy(session, 12);
    assert.deepEqual(stepwise.tokens, whole.tokens);
    assertClose(stepwise.logits, whole.logits);

    await session.forward(new Int32Array(300).fill(9), 1);
    assert.equal(await session.rewind(PROMPT.length - 1), true);
    await session.forward(PROMPT.subarray(-1), 1);
    const grown = await greedy(session, 12);
    assert.deepEqual(grown.tokens, whole.tokens);
    assertClose(grown.logits, whole.logits);

    assert.equal(await session.restore("prompt"), true);
    const restored = await greedy(session, 12);
    assert.deepEqual(restored.tokens, whole.tokens);
    await bridge.close();
  });
}

for (const model of [MODEL, CHAT]) {
  test(`both runtimes give the same: ${model.pathname.split("/").at(-2)}`, { skip: skip || skipChat }, async () => {
    const answers = [];
    for (const start of Object.values(runtimes)) {
      const bridge = createOnnxBridge(await start(), { store: memoryStore(), fetch: fileFetch });
      const session = await bridge.load(model.href, { allowDownload: true, threads: 1 });
      answers.push(await session.forward(PROMPT, 20));
      await bridge.close();
    }
    assert.deepEqual(answers[0], answers[1]);
  });
}

test("loading and closing does not let the heap grow", { skip }, async () => {
  let heapSize = () => 0;
  const { default: factory } = await import("onnxruntime-web/ort-wasm-simd-threaded.mjs");
  const runtime = wasmRuntime(async (settings) => {
    const module = await factory(settings);
    heapSize = () => module.HEAPU8.length;
    return module;
  });
  const bridge = createOnnxBridge(runtime, { store: memoryStore(), fetch: fileFetch });
  const sizes: number[] = [];
  for (let round = 0; round < 20; round++) {
    const session = await bridge.load(MODEL.href, { allowDownload: true, threads: 1 });
    for (let index = 0; index < 20; index++) await session.forward(PROMPT, 1);
    await session.snapshot("prompt");
    await session.close();
    sizes.push(heapSize());
  }
  assert.equal(sizes.at(-1), sizes[1]);
});

test("what is no model is a bad model", { skip }, async () => {
  const runtime = await runtimes.wasm?.();

  const opening = runtime?.open(new Uint8Array([8, 1, 2, 3]), new Map(), 1);

  await assert.rejects(
    opening ?? Promise.resolve(),
    (error) => error instanceof BridgeError && error.kind === "bad_model",
  );
});
