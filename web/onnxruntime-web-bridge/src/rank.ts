/** Ranking of one row of logits. Pure; the one hot loop of this package outside the runtime. */

export interface Ranking {
  /** Best first; of equal logits the lower id comes first. */
  readonly ids: Int32Array;
  readonly logits: Float32Array;
  /** `log(sum(exp(logit)))` over the whole row, so that `exp(logit - logSumExp)` is a probability. */
  readonly logSumExp: number;
}

// Up to here sorting new entries into a short list beats sorting the row: nearly all logits fail the first comparison.
const INSERTION_LIMIT = 256;

/**
 * Give the best `k` ids of a row, among `allowed` if given (any order; each at most once in the answer).
 *
 * A logit that is not a number is never chosen. There are fewer than `k` when fewer are allowed.
 */
export function rank(row: Float32Array, k: number, allowed?: Int32Array | null): Ranking {
  const order = k > INSERTION_LIMIT ? sortedIds(row, k, allowed) : selectedIds(row, k, allowed);
  return { ids: order, logits: Float32Array.from(order, (id) => row[id] ?? Number.NaN), logSumExp: logSumExp(row) };
}

function selectedIds(row: Float32Array, k: number, allowed: Int32Array | null | undefined): Int32Array {
  const ids = new Int32Array(k);
  const logits = new Float32Array(k);
  const candidates = allowed ? allowed.length : row.length;
  let size = 0;
  for (let index = 0; index < candidates; index++) {
    const id = allowed ? (allowed[index] as number) : index;
    const logit = row[id] as number;
    if (size === k) {
      const worst = logits[k - 1] as number;
      if (!(logit > worst || (logit === worst && id < (ids[k - 1] as number)))) continue;
    } else if (Number.isNaN(logit)) {
      continue;
    }
    let place = size;
    while (place > 0 && precedes(logit, id, logits[place - 1] as number, ids[place - 1] as number)) place--;
    if (allowed && place > 0 && ids[place - 1] === id) continue;
    if (size < k) size++;
    logits.copyWithin(place + 1, place, size - 1);
    ids.copyWithin(place + 1, place, size - 1);
    logits[place] = logit;
    ids[place] = id;
  }
  return ids.slice(0, size);
}

function sortedIds(row: Float32Array, k: number, allowed: Int32Array | null | undefined): Int32Array {
  const source = allowed ? new Set(allowed) : row.keys();
  const ids = Int32Array.from(source).filter((id) => !Number.isNaN(row[id]));
  ids.sort((a, b) => (precedes(row[a] as number, a, row[b] as number, b) ? -1 : 1));
  return ids.slice(0, k);
}

function precedes(logit: number, id: number, otherLogit: number, otherId: number): boolean {
  return logit > otherLogit || (logit === otherLogit && id < otherId);
}

/** Computed around the largest logit, so that nothing overflows. */
export function logSumExp(row: Float32Array): number {
  let largest = Number.NEGATIVE_INFINITY;
  for (const logit of row) if (logit > largest) largest = logit;
  if (!Number.isFinite(largest)) return largest;
  let sum = 0;
  for (const logit of row) if (!Number.isNaN(logit)) sum += Math.exp(logit - largest);
  return largest + Math.log(sum);
}
