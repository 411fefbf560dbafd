/**
 * The graph by which a device is measured, written here byte by byte so that nothing has to be fetched for it.
 *
 * Its products are those of a small language model: 576 wide, 1536 within, weights of 8 bits. It has no state and no words.
 * In 32 bits the weights would be four times as many bytes to hold for too little: where they fit a processor's cache, as
 * a server's, they say nothing of a model that does not.
 */

import { join } from "./store.ts";

const WIDTH = 576;
const INNER = 1536;
const LAYERS = 4;
/** A weight is `(byte - ZERO) * SCALE`. */
const ZERO = 128;
const SCALE = 1 / 500;

/** Numbers of `onnx.proto`. */
const FLOAT = 1;
const UINT8 = 2;
const IR_VERSION = 10;
const OPSET = 21;
const MICROSOFT = "com.microsoft";

export const PROBE = { input: "x", output: "y", width: WIDTH, inner: INNER, layers: LAYERS } as const;

/** The model, 7 MB: `x` and `y` are float32 of `[rows, width]`. */
export function probeModel(): Uint8Array {
  const nodes: Field[] = [];
  const weights = [
    bytes(5, tensor("scale", FLOAT, [], new Uint8Array(Float32Array.of(SCALE).buffer))),
    bytes(5, tensor("zero", UINT8, [], Uint8Array.of(ZERO))),
  ];
  let last: string = PROBE.input;
  for (let layer = 0; layer < LAYERS; layer++) {
    const [up, down] = [`up${layer}`, `down${layer}`];
    const next = layer === LAYERS - 1 ? PROBE.output : `x${layer}`;
    weights.push(bytes(5, matrix(up, WIDTH, INNER)), bytes(5, matrix(down, INNER, WIDTH)));
    nodes.push(product(last, up, `a${layer}`), node("Relu", [`a${layer}`], `b${layer}`));
    nodes.push(product(`b${layer}`, down, `c${layer}`), node("Add", [last, `c${layer}`], next));
    last = next;
  }
  const values = [bytes(11, valueInfo(PROBE.input)), bytes(12, valueInfo(PROBE.output))];
  const graph = message([...nodes, text(2, "probe"), ...weights, ...values]);
  const opsets = [message([text(1, ""), number(2, OPSET)]), message([text(1, MICROSOFT), number(2, 1)])];
  return message([number(1, IR_VERSION), bytes(7, graph), ...opsets.map((opset) => bytes(8, opset))]);
}

/** The product that models of 8 bits use: rows are quantised as they come. */
function product(input: string, weights: string, output: string): Field {
  return node("DynamicQuantizeMatMul", [input, weights, "scale", "zero"], output, MICROSOFT);
}

/** A `NodeProto`. */
function node(operator: string, inputs: readonly string[], output: string, domain = ""): Field {
  const names = [...inputs.map((input) => text(1, input)), text(2, output)];
  return bytes(1, message([...names, text(4, operator), text(7, domain)]));
}

/** Small numbers: what comes out stays near what goes in, far from numbers that processors are slow with. */
function matrix(name: string, rows: number, columns: number): Uint8Array {
  const values = new Uint8Array(rows * columns);
  for (let index = 0; index < values.length; index++) values[index] = ((index * 31) % 61) - 30 + ZERO;
  return tensor(name, UINT8, [rows, columns], values);
}

/** A `TensorProto`. */
function tensor(name: string, type: number, shape: readonly number[], values: Uint8Array): Uint8Array {
  return message([...shape.map((size) => number(1, size)), number(2, type), text(8, name), bytes(9, values)]);
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
