/**
 * A sequence whose state stands in buffers that are input and output of each run: nothing is copied, and to shorten it is to
 * count less of it.
 *
 * The buffers have room for `LEAST_CAPACITY` tokens at first and double when that is too little: a model of 30 layers
 * takes 46 kB a token, and attention reserves memory for all of them at each run.
 */

import { ELEMENT_SIZES, type ModelManifest, type StateSlot } from "./manifest.ts";
import type { Graph, Room, TensorData } from "./runtime.ts";
import { type Kept, readReported, reportedOutputs, runInputs, type Sequence } from "./sequence.ts";
import { type Decoded, decodeState, encodeState } from "./snapshot.ts";

export const LEAST_CAPACITY = 256;

export function placedSequence(graph: Graph, manifest: ModelManifest): Sequence {
  const spec = manifest.graph;
  const slots = spec.state;
  const outputs = reportedOutputs(spec);
  let rooms: readonly Room[] = [];
  let capacity = 0;
  let length = 0;
  let logits: Float32Array | undefined;
  let scalars: Readonly<Record<string, number>> = {};

  /** Make room for so many tokens, or fail with everything as it was. */
  function reserve(needed: number): void {
    if (needed <= capacity) return;
    const wanted = Math.max(needed, Math.min(manifest.context_length, Math.max(2 * capacity, LEAST_CAPACITY)));
    const made: Room[] = [];
    try {
      for (const slot of slots) made.push(graph.room(slot.type, slotShape(slot, wanted)));
    } catch (error) {
      release(made);
      throw error;
    }
    for (const [index, room] of rooms.entries()) {
      const slot = slots[index] as StateSlot;
      copyTokens(slot, room.data().bytes, capacity, (at, bytes) => made[index]?.write(at, bytes), wanted, length);
    }
    release(rooms);
    rooms = made;
    capacity = wanted;
  }

  function restore(held: Decoded): void {
    reserve(held.length);
    for (const [index, slot] of slots.entries()) {
      const { bytes } = held.tensors.get(slot.input) as TensorData;
      copyTokens(slot, bytes, held.length, (at, rows) => rooms[index]?.write(at, rows), capacity, held.length);
    }
    ({ length, logits, scalars } = held);
  }

  function kept(held: Decoded): Kept {
    const sizes = [...held.tensors.values()].map(({ bytes }) => bytes.length);
    return {
      size_bytes: sizes.reduce((sum, size) => sum + size, (held.logits?.length ?? 0) * 4),
      restore: () => restore(held),
      encode: () =>
        encodeState({
          ...held,
          tensors: new Map([...held.tensors].map(([name, data]) => [name, { data: () => data }])),
        }),
      release: () => undefined,
    };
  }

  return {
    get length() {
      return length;
    },
    get logits() {
      return logits;
    },
    get scalars() {
      return scalars;
    },
    async append(ids) {
      reserve(length + ids.length);
      const given = [...runInputs(spec, ids, length)].map(([name, data]) => [name, graph.tensor(data)] as const);
      try {
        const inputs = slots.map(({ input }, index) => [input, rooms[index] as Room] as const);
        const places = slots.map(({ output }, index) => [output, rooms[index] as Room] as const);
        const results = await graph.run(new Map([...inputs, ...given]), outputs, new Map(places));
        try {
          ({ logits, scalars } = readReported(results, manifest));
        } finally {
          for (const tensor of results) tensor.release();
        }
        length += ids.length;
      } finally {
        for (const [, tensor] of given) tensor.release();
      }
    },
    rewind(wanted) {
      if (wanted > length) return false;
      if (wanted < length) [length, logits, scalars] = [wanted, undefined, {}];
      return true;
    },
    clear() {
      [length, logits, scalars] = [0, undefined, {}];
    },
    keep() {
      const tensors = slots.map((slot, index): [string, TensorData] => {
        const shape = slotShape(slot, length);
        const bytes = new Uint8Array(shape.reduce((product, size) => product * size, ELEMENT_SIZES[slot.type]));
        const held = rooms[index]?.data().bytes ?? bytes;
        copyTokens(slot, held, capacity, (at, rows) => bytes.set(rows, at), length, length);
        return [slot.input, { type: slot.type, shape, bytes }];
      });
      return kept({ tensors: new Map(tensors), length, logits, scalars });
    },
    load(bytes) {
      const decoded = decodeState(bytes, manifest);
      if (!decoded || decoded.length > manifest.context_length) return undefined;
      const fits = slots.every((slot) => {
        const shape = decoded.tensors.get(slot.input)?.shape;
        return shape?.every((size, axis) => size === (slot.shape[axis] || decoded.length));
      });
      return fits ? kept(decoded) : undefined;
    },
    release() {
      release(rooms);
      rooms = [];
    },
  };
}

function release(rooms: readonly Room[]): void {
  for (const room of rooms) room.release();
}

function slotShape({ shape }: StateSlot, tokens: number): readonly number[] {
  return shape.map((size) => (size === 0 ? tokens : size));
}

/** Copy the first `count` tokens between two layouts, each with its own room for tokens. */
function copyTokens(
  slot: StateSlot,
  from: Uint8Array,
  fromCapacity: number,
  write: (offset: number, bytes: Uint8Array) => void,
  toCapacity: number,
  count: number,
): void {
  const axis = slot.shape.indexOf(0);
  const product = (sizes: readonly number[]) => sizes.reduce((result, size) => result * size, 1);
  const tokenSize = product(slot.shape.slice(axis + 1)) * ELEMENT_SIZES[slot.type];
  for (let part = 0; part < product(slot.shape.slice(0, axis)) && count > 0; part++) {
    const start = part * fromCapacity * tokenSize;
    write(part * toCapacity * tokenSize, from.subarray(start, start + count * tokenSize));
  }
}
