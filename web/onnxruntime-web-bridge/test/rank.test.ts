import assert from "node:assert/strict";
import { test } from "node:test";
import { rank } from "../src/index.ts";
import { logSumExp } from "../src/rank.ts";

/** A small generator with a seed, so that a failure can be repeated. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

function naive(row: Float32Array, k: number, allowed?: Int32Array): number[] {
  const ids = [...new Set(allowed ?? row.keys())].filter((id) => !Number.isNaN(row[id]));
  const logit = (id: number) => row[id] ?? 0;
  return ids.sort((a, b) => (logit(a) === logit(b) ? a - b : logit(a) > logit(b) ? -1 : 1)).slice(0, k);
}

test("ranking equals sorting the whole row, with ties, infinities and gaps", () => {
  for (let seed = 0; seed < 400; seed++) {
    const next = random(seed);
    const size = 1 + Math.floor(next() * 700);
    // Few different values: most rows have ties at the border of the best k.
    const row = Float32Array.from({ length: size }, () => Math.floor(next() * 12) - 6);
    if (seed % 3 === 0) row[Math.floor(next() * size)] = Number.NaN;
    if (seed % 5 === 0) row[Math.floor(next() * size)] = Number.NEGATIVE_INFINITY;
    const k = 1 + Math.floor(next() * (seed % 2 === 0 ? 40 : size));
    const allowed =
      seed % 4 === 0 ? Int32Array.from({ length: 1 + (seed % 60) }, () => Math.floor(next() * size)) : undefined;

    const ranking = rank(row, k, allowed);

    assert.deepEqual([...ranking.ids], naive(row, k, allowed), `seed ${seed}`);
    assert.deepEqual(
      [...ranking.logits],
      [...ranking.ids].map((id) => row[id]),
      `seed ${seed}`,
    );
  }
});

test("the sum is over the whole row, whatever is allowed", () => {
  const row = Float32Array.of(1, 2, 3);
  const whole = Math.log(Math.exp(1) + Math.exp(2) + Math.exp(3));

  const ranking = rank(row, 2, Int32Array.of(0));

  assert.deepEqual([...ranking.ids], [0]);
  assert.ok(Math.abs(ranking.logSumExp - whole) < 1e-9);
});

test("large logits do not overflow", () => {
  assert.equal(logSumExp(Float32Array.of(1000, -1000)), 1000);
  assert.equal(logSumExp(Float32Array.of(Number.NEGATIVE_INFINITY)), Number.NEGATIVE_INFINITY);
});

test("nothing allowed gives an empty ranking", () => {
  assert.equal(rank(Float32Array.of(1, 2), 3, new Int32Array()).ids.length, 0);
});
