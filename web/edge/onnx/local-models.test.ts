/** With ONNX Runtime itself, over the models that `models/tiny/` writes: what is asked for is the same, whatever is held. */

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { createOnnxBridge, type OnnxBridge, type OnnxSession, wasmRuntime } from "onnxruntime-web-bridge";
import { fileFetch } from "onnxruntime-web-bridge/node";
import { createLocalModels, type LocalModels, MODELS_URL, uploadedStore } from "./local-models.ts";

const FOLDER = pathToFileURL(join(import.meta.dirname, "../../../build/models/"));
const skip = existsSync(new URL("tiny-chat/model.json", FOLDER)) ? false : "build/models/tiny-chat is not built";
const ORT = pathToFileURL(createRequire(import.meta.url).resolve("onnxruntime-web/ort-wasm-simd-threaded.mjs"));
const RUNTIME = wasmRuntime(ORT);
const LIMIT = 100e6;

function startBridge(spoil: (url: string, bytes: Uint8Array<ArrayBuffer>) => void = () => undefined): OnnxBridge {
  const { store, fetch } = uploadedStore(async (url) => {
    const response = await fileFetch(new URL(url.slice(MODELS_URL.length), FOLDER).href, {});
    const bytes = new Uint8Array(await response.arrayBuffer());
    spoil(url, bytes);
    return new Response(bytes, { status: response.status });
  });
  return createOnnxBridge(RUNTIME, { store, fetch });
}

/** A bridge that counts the tokens which its sessions compute. */
function counting(bridge: OnnxBridge): { bridge: OnnxBridge; count: () => number } {
  let tokens = 0;
  const load: OnnxBridge["load"] = async (url, options) => {
    const session = await bridge.load(url, options);
    return new Proxy(session, {
      get(target, name) {
        if (name !== "forward") return Reflect.get(target, name) as unknown;
        const forward: OnnxSession["forward"] = (ids, ...rest) => {
          tokens += ids.length;
          return target.forward(ids, ...rest);
        };
        return forward;
      },
    });
  };
  return { bridge: { ...bridge, load }, count: () => tokens };
}

const range = (length: number, step: number) =>
  Int32Array.from({ length }, (_, place) => 3 + ((place * step + step) % 40));

async function best(models: LocalModels, id: string, ids: Int32Array): Promise<number[]> {
  const { ids: found, logits } = await models.forward(id, ids, 3, null);
  return [...found, ...[...logits].map((logit) => Math.round(logit * 1e3))];
}

for (const id of ["tiny", "tiny-chat"]) {
  test(`${id}: two sequences in turns give what each gives alone`, { skip }, async () => {
    const one = range(90, 7);
    const other = range(80, 11);
    const alone = [];
    for (const ids of [one, other]) {
      for (const length of [60, 70, ids.length]) {
        alone.push(await best(createLocalModels(startBridge(), LIMIT), id, ids.slice(0, length)));
      }
    }
    const { bridge, count } = counting(startBridge());
    const models = createLocalModels(bridge, LIMIT);
    const inTurns: number[][] = [[], [], [], [], [], []];
    for (const [place, length] of [60, 70, Number.POSITIVE_INFINITY].entries()) {
      inTurns[place] = await best(models, id, one.slice(0, length));
      inTurns[place + 3] = await best(models, id, other.slice(0, length));
    }

    assert.deepEqual(inTurns, alone);
    // What was computed of the one was kept while the other was asked.
    assert.equal(count(), one.length + other.length);
  });
}

test("a shorter sequence, the same again, and one that was kept", { skip }, async () => {
  const { bridge, count } = counting(startBridge());
  const models = createLocalModels(bridge, LIMIT);
  const ids = range(70, 7);
  const first = await best(models, "tiny", ids);
  await models.keep("tiny", ids);
  assert.deepEqual(await best(models, "tiny", ids), first);
  assert.equal(count(), 70);
  const shorter = await best(models, "tiny", ids.slice(0, 10));
  assert.deepEqual(await best(models, "tiny", ids), first);
  assert.equal(count(), 80);
  assert.deepEqual(await best(createLocalModels(startBridge(), LIMIT), "tiny", ids.slice(0, 10)), shorter);
});

test("calls at the same time are done one after the other", { skip }, async () => {
  const models = createLocalModels(startBridge(), LIMIT);
  const sequences = [range(30, 7), range(40, 11), range(30, 7), range(20, 3)];
  const together = await Promise.all(sequences.map((ids) => best(models, "tiny-chat", ids)));
  const alone = [];
  for (const ids of sequences) alone.push(await best(createLocalModels(startBridge(), LIMIT), "tiny-chat", ids));
  assert.deepEqual(together, alone);
});

test("a model is closed when another needs its memory", { skip }, async () => {
  const models = createLocalModels(startBridge(), 1.5e6);
  const first = await best(models, "tiny", range(10, 7));
  await best(models, "tiny-chat", range(10, 7));
  assert.deepEqual(await best(models, "tiny", range(10, 7)), first);
});

test("what is wrong with a model is told by its kind", { skip }, async () => {
  const small = createLocalModels(startBridge(), 1000);
  await assert.rejects(small.forward("tiny", range(2, 1), 1, null), { kind: "too_big" });
  const models = createLocalModels(startBridge(), LIMIT);
  await assert.rejects(models.describe("none"), { kind: "http" });
  await assert.rejects(models.describe("../tiny"), { kind: "bad_request" });
  await assert.rejects(models.forward("tiny", new Int32Array(), 1, null), { kind: "bad_request" });
  await assert.rejects(models.embed("tiny", range(2, 1), Int32Array.of(2)), { kind: "bad_request" });
  const spoilt = createLocalModels(
    startBridge((url, bytes) => {
      if (url.endsWith("weights.bin")) bytes.fill(0);
    }),
    LIMIT,
  );
  await assert.rejects(spoilt.forward("tiny", range(2, 1), 1, null), { kind: "not_downloaded" });
});

test("vectors and files", { skip }, async () => {
  const models = createLocalModels(startBridge(), LIMIT);
  const ids = Int32Array.of(1, 5, 2, 1, 9, 2);
  const vectors = await models.embed("tiny-embedding", ids, Int32Array.of(3, 3));
  const manifest = JSON.parse(await models.describe("tiny-embedding")) as { id: string; files: { name: string }[] };
  assert.equal(vectors.length % 2, 0);
  assert.equal(manifest.id, "tiny-embedding");
  assert.ok((await models.read("tiny-embedding", "tokenizer.json")).length > 100);
});
