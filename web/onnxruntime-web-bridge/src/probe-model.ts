/**
 * The graph by which a device is measured, written here byte by byte so that nothing has to be fetched for it.
 *
 * Its products have the sizes of a small language model's (576 wide, 1536 within); it has no state and no words.
 */

import { join } from "./store.ts";

const WIDTH = 576;
const INNER = 1536;
const LAYERS = 2;

/** Numbers of `onnx.proto`. */
const FLOAT = 1;
const IR_VERSION = 10;
const OPSET = 21;

export const PROBE = { input: "x", output: "y", width: WIDTH, weights: 2 * LAYERS * WIDTH * INNER } as const;

/** The model, about 14 MB: `x` and `y` are float32 of `[rows, width]`. */
export function probeModel(): Uint8Array {
  const nodes: Field[] = [];
  const weights: Field[] = [];
  let last: string = PROBE.input;
  for (let layer = 0; layer < LAYERS; layer++) {
    const [up, down] = [`up${layer}`, `down${layer}`];
    const next = layer === LAYERS - 1 ? PROBE.output : `x${layer}`;
    weights.push(bytes(5, tensor(up, WIDTH, INNER)), bytes(5, tensor(down, INNER, WIDTH)));
    nodes.push(node("MatMul", [last, up], `a${layer}`), node("Relu", [`a${layer}`], `b${layer}`));
    nodes.push(node("MatMul", [`b${layer}`, down], `c${layer}`), node("Add", [last, `c${layer}`], next));
    last = next;
  }
  const values = [bytes(11, valueInfo(PROBE.input)), bytes(12, valueInfo(PROBE.output))];
  const graph = message([...nodes, text(2, "probe"), ...weights, ...values]);
  return message([number(1, IR_VERSION), bytes(7, graph), bytes(8, message([text(1, ""), number(2, OPSET)]))]);
}

/** A `NodeProto`. */
function node(operator: string, inputs: readonly string[], output: string): Field {
  return bytes(1, message([...inputs.map((input) => text(1, input)), text(2, output), text(4, operator)]));
}

/** A `TensorProto` of small numbers: sums stay near what comes in, far from the numbers that processors are slow with. */
function tensor(name: string, rows: number, columns: number): Uint8Array {
  const values = new Float32Array(rows * columns);
  for (let index = 0; index < values.length; index++) values[index] = (((index * 31) % 61) - 30) / 3000;
  const raw = bytes(9, new Uint8Array(values.buffer));
  return message([number(1, rows), number(1, columns), number(2, FLOAT), text(8, name), raw]);
}

/** A `ValueInfoProto`: float32, any number of rows. */
function valueInfo(name: string): Uint8Array {
  const shape = message([bytes(1, message([text(2, "rows")])), bytes(1, message([number(1, WIDTH)]))]);
  return message([text(1, name), bytes(2, message([bytes(1, message([number(1, FLOAT), bytes(2, shape)]))]))]);
}

// --- Protocol Buffers: each field is its number and kind, then its value --------------------------------------------

type Field = readonly Uint8Array[];

function number(field: number, value: number): Field {
  return [Uint8Array.from([...varint(field << 3), ...varint(value)])];
}

function bytes(field: number, value: Uint8Array): Field {
  return [Uint8Array.from([...varint((field << 3) | 2), ...varint(value.length)]), value];
}

function text(field: number, value: string): Field {
  return bytes(field, new TextEncoder().encode(value));
}

function message(fields: readonly Field[]): Uint8Array {
  const parts = fields.flat();
  return join(
    parts,
    parts.reduce((sum, part) => sum + part.length, 0),
  );
}

function varint(value: number): number[] {
  const digits: number[] = [];
  let rest = value;
  while (rest > 127) {
    digits.push((rest & 127) | 128);
    rest = Math.floor(rest / 128);
  }
  return [...digits, rest];
}
