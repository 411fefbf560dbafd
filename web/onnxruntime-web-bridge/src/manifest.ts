/**
 * `model.json`: what a model consists of and how its graph is stepped. Read once, checked here, trusted afterwards.
 */

import { BridgeError } from "./errors.ts";

/** Bytes of one element and the name that ONNX Runtime gives the type. */
export const ELEMENT_SIZES = {
  float32: 4,
  float64: 8,
  float16: 2,
  int64: 8,
  uint64: 8,
  int32: 4,
  uint32: 4,
  int16: 2,
  uint16: 2,
  int8: 1,
  uint8: 1,
  bool: 1,
} as const;

export type ElementType = keyof typeof ELEMENT_SIZES;

export interface ModelFile {
  readonly name: string;
  readonly size_bytes: number;
  /** 64 hexadecimal digits, lower case. */
  readonly sha256: string;
}

/**
 * A tensor that each run takes and gives again. It begins as `shape` filled with `fill`; a growing axis begins as 0.
 *
 * In a model whose state is `in_place` that axis is as long as the caller likes, at least as long as the sequence, and one
 * buffer is input and output; what it begins with does not matter.
 */
export interface StateSlot {
  readonly in_place: boolean;
  /** Whether the output holds only new rows, which are put behind those of the input (axis 0), instead of all. */
  readonly append: boolean;
  readonly input: string;
  readonly output: string;
  readonly type: ElementType;
  readonly shape: readonly number[];
  readonly fill: number;
}

/** A piece of `source` that is an input of the expanding graph. */
export interface ExpandInput {
  readonly offset: number;
  readonly shape: readonly number[];
  readonly type: ElementType;
}

export interface ExpandStep {
  /** Another graph than the usual one. */
  readonly file: string;
  readonly inputs: Readonly<Record<string, ExpandInput>>;
  readonly output: string;
  /** Where in `target` the output goes. */
  readonly offset: number;
  readonly size_bytes: number;
}

/**
 * Weights that are made at load instead of being downloaded: `file` is a graph which is run once for each step over
 * pieces of `source`, and its outputs together are the external data `target`.
 */
export interface ModelExpand {
  readonly file: string;
  readonly source: string;
  readonly target: string;
  readonly size_bytes: number;
  readonly steps: readonly ExpandStep[];
}

export interface ModelGraph {
  readonly file: string;
  /** Names by which the graph knows files with weights: files of the model, or the `target` of `expand`. */
  readonly external_data: readonly string[];
  readonly expand: ModelExpand | undefined;
  readonly input_ids: string;
  /** Whether ONNX Runtime need not look for anything to fuse. */
  readonly is_optimised: boolean;
  /** int64, 0 stands for the number of tokens. `"[T]"` and `"[1,T]"` may be written in `model.json` too. */
  readonly input_ids_shape: readonly number[];
  /** Input that takes how many tokens the state holds before the run: int64, shape `[1]`. */
  readonly past_length: string | undefined;
  /** Output with the scores of the next token; if it has several rows the last one counts. float32. */
  readonly logits: string;
  readonly state: readonly StateSlot[];
  /** Further float32 outputs of one element, by the name under which `forward` reports them. */
  readonly scalars: Readonly<Record<string, string>>;
  /** In a model that gives vectors instead of scores: the output with one row for each sequence. float32. */
  readonly embedding: string | undefined;
  /** For such a model: the int64 input that is 1 where `input_ids` has a token and 0 where it is filled up. */
  readonly attention_mask: string;
}

/** The fields that this package reads. Whatever else `model.json` holds is kept and handed on. */
export interface ModelManifest {
  readonly format: 1;
  readonly id: string;
  readonly files: readonly ModelFile[];
  readonly graph: ModelGraph;
  readonly vocab_size: number;
  readonly context_length: number;
  /** Rough need of memory while the model is loaded; 0 when unknown. */
  readonly memory_bytes: number;
  readonly [field: string]: unknown;
}

/** Check what was read from a `model.json`. Throws `bad_model` naming the field. */
export function parseManifest(value: unknown): ModelManifest {
  const manifest = record(value, "model.json");
  if (manifest.format !== 1) fail("format", "1");
  const id = text(manifest.id, "id");
  const files = list(manifest.files, "files").map(parseFile);
  const names = new Set(files.map((file) => file.name));
  if (names.size !== files.length) fail("files", "names that differ");
  const graph = parseGraph(record(manifest.graph, "graph"));
  const { expand } = graph;
  const needed = [graph.file, ...graph.external_data.filter((name) => name !== expand?.target)];
  for (const name of [...needed, ...(expand ? [...expandFiles(expand), expand.source] : [])]) {
    if (!names.has(name)) fail("graph", `only files that are listed in files, not ${JSON.stringify(name)}`);
  }
  return {
    ...manifest,
    format: 1,
    id,
    files,
    graph,
    vocab_size: count(manifest.vocab_size, "vocab_size", 1),
    context_length: count(manifest.context_length, "context_length", 1),
    memory_bytes: count(manifest.memory_bytes ?? 0, "memory_bytes", 0),
  };
}

/** Names of the expanding graphs, each once. */
export function expandFiles({ file, steps }: ModelExpand): readonly string[] {
  return [...new Set([file, ...steps.map((step) => step.file)])];
}

function parseFile(value: unknown, index: number): ModelFile {
  const where = `files[${index}]`;
  const file = record(value, where);
  const name = text(file.name, `${where}.name`);
  // The name is joined to the model's address and becomes part of a path: it must not lead elsewhere.
  if (!/^[\w][\w.-]*(\/[\w][\w.-]*)*$/.test(name)) fail(`${where}.name`, "a plain relative path");
  const sha256 = text(file.sha256, `${where}.sha256`).toLowerCase();
  if (!/^[0-9a-f]{64}$/.test(sha256)) fail(`${where}.sha256`, "64 hexadecimal digits");
  return { name, size_bytes: count(file.size_bytes, `${where}.size_bytes`, 1), sha256 };
}

function parseGraph(graph: Record<string, unknown>): ModelGraph {
  const scalars = Object.entries(record(graph.scalars ?? {}, "graph.scalars"));
  return {
    file: text(graph.file, "graph.file"),
    external_data: list(graph.external_data ?? [], "graph.external_data").map((name) =>
      text(name, "graph.external_data"),
    ),
    expand: graph.expand === undefined ? undefined : parseExpand(record(graph.expand, "graph.expand")),
    input_ids: text(graph.input_ids ?? "input_ids", "graph.input_ids"),
    input_ids_shape: parseIdsShape(graph.input_ids_shape ?? [1, 0]),
    logits: text(graph.logits ?? "logits", "graph.logits"),
    state: parseState(graph.state ?? []),
    scalars: Object.fromEntries(scalars.map(([name, output]) => [name, text(output, `graph.scalars.${name}`)])),
    past_length: graph.past_length === undefined ? undefined : text(graph.past_length, "graph.past_length"),
    embedding: graph.embedding === undefined ? undefined : text(graph.embedding, "graph.embedding"),
    attention_mask: text(graph.attention_mask ?? "attention_mask", "graph.attention_mask"),
    is_optimised: graph.optimization_level === "disabled",
  };
}

function parseIdsShape(value: unknown): readonly number[] {
  const shape = JSON.stringify(value).replaceAll('"', "").replace("T", "0");
  const known = { "[0]": [0], "[1,0]": [1, 0], "[0,0]": [0, 0] }[shape];
  return known ?? fail("graph.input_ids_shape", "[0], [1, 0] or, for vectors, [0, 0]");
}

function parseExpand(expand: Record<string, unknown>): ModelExpand {
  const where = "graph.expand";
  const file = text(expand.file, `${where}.file`);
  const parsed = {
    file,
    source: text(expand.source, `${where}.source`),
    target: text(expand.target, `${where}.target`),
    size_bytes: count(expand.size_bytes, `${where}.size_bytes`, 1),
    steps: list(expand.steps, `${where}.steps`).map((value, index) =>
      parseStep(record(value, `${where}.steps[${index}]`), `${where}.steps[${index}]`, file),
    ),
  };
  for (const { offset, size_bytes } of parsed.steps) {
    if (offset + size_bytes > parsed.size_bytes) fail(`${where}.steps`, "inside the target");
  }
  return parsed;
}

function parseStep(step: Record<string, unknown>, where: string, file: string): ExpandStep {
  const inputs = Object.entries(record(step.inputs, `${where}.inputs`)).map(([name, value]) => {
    const input = record(value, `${where}.inputs.${name}`);
    const type = elementType(input.type, `${where}.inputs.${name}.type`);
    const shape = parseShape(input.shape, `${where}.inputs.${name}.shape`);
    return [name, { offset: count(input.offset, `${where}.inputs.${name}.offset`, 0), shape, type }] as const;
  });
  return {
    file: text(step.file ?? file, `${where}.file`),
    inputs: Object.fromEntries(inputs),
    output: text(step.output, `${where}.output`),
    offset: count(step.offset, `${where}.offset`, 0),
    size_bytes: count(step.size_bytes, `${where}.size_bytes`, 1),
  };
}

function parseState(value: unknown): readonly StateSlot[] {
  const slots = list(value, "graph.state").map(parseSlot);
  const placed = slots.filter((slot) => slot.in_place).length;
  if (placed !== 0 && placed !== slots.length) fail("graph.state", "all in place, or none of it");
  return slots;
}

function parseSlot(value: unknown, index: number): StateSlot {
  const where = `graph.state[${index}]`;
  const slot = record(value, where);
  const type = elementType(slot.type, `${where}.type`);
  const fill = slot.fill ?? 0;
  if (typeof fill !== "number") fail(`${where}.fill`, "a number");
  if (type === "float16" && fill !== 0) fail(`${where}.fill`, "0 for float16");
  const shape = parseShape(slot.shape, `${where}.shape`);
  const append = slot.append === true;
  if (append && shape[0] !== 0) fail(`${where}.shape`, "of length 0 at first, as rows are appended");
  const in_place = slot.in_place === true;
  if (in_place && shape.filter((length) => length === 0).length !== 1) {
    fail(`${where}.shape`, "of length 0 in the one axis of tokens");
  }
  return {
    append,
    in_place,
    input: text(slot.input, `${where}.input`),
    output: text(slot.output, `${where}.output`),
    type,
    shape,
    fill,
  };
}

function parseShape(value: unknown, where: string): readonly number[] {
  return list(value, where).map((size) => count(size, where, 0));
}

function elementType(value: unknown, where: string): ElementType {
  const type = text(value, where);
  if (!isElementType(type)) fail(where, `one of ${Object.keys(ELEMENT_SIZES).join(", ")}`);
  return type;
}

function isElementType(type: string): type is ElementType {
  return Object.hasOwn(ELEMENT_SIZES, type);
}

function record(value: unknown, where: string): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) fail(where, "an object");
  return value as Record<string, unknown>;
}

function list(value: unknown, where: string): readonly unknown[] {
  if (!Array.isArray(value)) fail(where, "a list");
  return value;
}

function text(value: unknown, where: string): string {
  if (typeof value !== "string" || value === "") fail(where, "a text");
  return value;
}

function count(value: unknown, where: string, least: number): number {
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < least) {
    fail(where, `a whole number of at least ${least}`);
  }
  return value;
}

function fail(where: string, expected: string): never {
  throw new BridgeError("bad_model", `model.json: ${where} must be ${expected}`, { field: where });
}
