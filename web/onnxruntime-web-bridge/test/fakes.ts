/** A server, a runtime and a model that need neither network nor ONNX Runtime. */

import { createHash } from "node:crypto";
import type { FetchFunction, FetchInit, Graph, OnnxRuntime, Room, Tensor, TensorData } from "../src/index.ts";
import { BridgeError } from "../src/index.ts";

export const MODEL_URL = "https://models.test/counter/";
export const VOCABULARY = 50;

export interface Served {
  readonly bytes: Uint8Array;
  readonly type?: string;
  readonly etag?: string;
  readonly status?: number;
  /** Whether the server knows about ranges. */
  readonly ranges?: boolean;
  /** Break the connection after so many bytes, once. */
  breakAfter?: number | undefined;
  /** Bytes in one chunk. */
  readonly chunk?: number;
}

export interface Request {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** Serves what is in `files` by the name after `MODEL_URL`; keeps the requests. */
export class FakeServer {
  readonly files = new Map<string, Served>();
  readonly requests: Request[] = [];
  isReachable = true;

  readonly fetch: FetchFunction = async (url, init) => {
    init.signal?.throwIfAborted();
    if (!this.isReachable) throw new TypeError("fetch failed");
    this.requests.push({ url, headers: { ...init.headers } });
    const served = this.files.get(url.slice(MODEL_URL.length));
    return served ? answer(served, init) : new Response("not here", { status: 404 });
  };

  /** Names of the files asked for, without the manifest. */
  get downloads(): string[] {
    return this.requests.map(({ url }) => url.slice(MODEL_URL.length)).filter((name) => name !== "model.json");
  }
}

function answer(served: Served, { headers = {}, signal }: FetchInit): Response {
  const { bytes, type = "application/octet-stream", etag, status = 200, ranges = true } = served;
  const fields: Record<string, string> = { "content-type": type, ...(etag ? { etag } : {}) };
  const start = Number(/^bytes=(\d+)-$/.exec(headers.range ?? "")?.[1] ?? 0);
  const isSame = headers["if-range"] === undefined || headers["if-range"] === etag;
  if (status === 200 && start > 0 && ranges && isSame) {
    fields["content-range"] = `bytes ${start}-${bytes.length - 1}/${bytes.length}`;
    return new Response(stream(served, start, signal), { status: 206, headers: fields });
  }
  fields["content-length"] = String(bytes.length);
  return new Response(stream(served, 0, signal), { status, headers: fields });
}

function stream(served: Served, start: number, signal?: AbortSignal): ReadableStream<Uint8Array> {
  const { bytes, chunk = 64 } = served;
  let offset = start;
  return new ReadableStream({
    pull(controller) {
      if (signal?.aborted) return controller.error(signal.reason);
      if (served.breakAfter !== undefined && offset >= served.breakAfter) {
        served.breakAfter = undefined;
        return controller.error(new TypeError("terminated"));
      }
      if (offset >= bytes.length) return controller.close();
      controller.enqueue(bytes.slice(offset, offset + chunk));
      offset += chunk;
    },
  });
}

/** A model whose logits depend on every token it was given, in order. */
export function counterModel(weights = pattern(1000)): { server: FakeServer; manifest: Record<string, unknown> } {
  const files = new Map([
    ["model.onnx", weights],
    ["tokenizer.json", new TextEncoder().encode('{"pieces":[]}')],
  ]);
  const manifest = {
    format: 1,
    id: "counter",
    template: "none",
    files: [...files].map(([name, bytes]) => ({ name, size_bytes: bytes.length, sha256: sha256(bytes) })),
    graph: {
      file: "model.onnx",
      external_data: [],
      input_ids: "input_ids",
      input_ids_shape: [1, 0],
      logits: "logits",
      state: [
        { input: "past_ids", output: "new_ids", type: "int64", shape: [0, 1], fill: 0, append: true },
        { input: "past_sum", output: "new_sum", type: "float64", shape: [1], fill: 0.5 },
      ],
      scalars: { confidence: "confidence" },
    },
    vocab_size: VOCABULARY,
    context_length: 40,
    memory_bytes: 1000,
  };
  const server = new FakeServer();
  for (const [name, bytes] of files) server.files.set(name, { bytes });
  server.files.set("model.json", { bytes: new TextEncoder().encode(JSON.stringify(manifest)) });
  return { server, manifest };
}

/** The same with its state in place: the ids, and their negatives in a second row. */
export function placedModel(): { server: FakeServer; manifest: Record<string, unknown> } {
  const { server, manifest } = counterModel();
  const graph = {
    ...(manifest.graph as object),
    past_length: "past_length",
    state: [{ input: "past_ids", output: "new_ids", type: "int64", shape: [2, 0], fill: 0, in_place: true }],
  };
  const placed = { ...manifest, id: "placed", graph, context_length: 600 };
  server.files.set("model.json", { bytes: new TextEncoder().encode(JSON.stringify(placed)) });
  return { server, manifest: placed };
}

export function pattern(size: number): Uint8Array {
  return Uint8Array.from({ length: size }, (_, index) => (index * 31) % 251);
}

export function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** Runs `counterModel` and `placedModel`; counts the tensors and graphs that were not given back. */
export class FakeRuntime implements OnnxRuntime {
  liveTensors = 0;
  liveGraphs = 0;
  runs = 0;
  threads: number[] = [];
  /** Bytes of the largest room that there is memory for. */
  largestRoom = Number.POSITIVE_INFINITY;

  async open(_model: Uint8Array, _external: ReadonlyMap<string, Uint8Array>, threads: number): Promise<Graph> {
    this.liveGraphs++;
    this.threads.push(threads);
    let isOpen = true;
    return {
      inputs: ["input_ids", "past_ids", "past_sum", "past_length"],
      outputs: ["logits", "confidence", "new_ids", "new_sum"],
      tensor: (data) => this.#tensor({ ...data, bytes: data.bytes.slice() }),
      room: (type, shape) => {
        const bytes = new Uint8Array(shape.reduce((product, size) => product * size, 8)).fill(1);
        if (bytes.length > this.largestRoom) throw new BridgeError("out_of_memory", "no room");
        const tensor = this.#tensor({ type, shape, bytes });
        return Object.assign(tensor, { write: (offset: number, added: Uint8Array) => bytes.set(added, offset) });
      },
      append: (base, rows) => {
        const [first, second] = [base.data(), rows.data()];
        const shape = [(first.shape[0] ?? 0) + (second.shape[0] ?? 0), ...first.shape.slice(1)];
        return this.#tensor({ type: first.type, shape, bytes: concat(first.bytes, second.bytes) });
      },
      run: async (inputs, outputs, places) =>
        places ? this.#runPlaced(inputs, outputs, places) : this.#run(inputs, outputs),
      close: async () => {
        if (isOpen) this.liveGraphs--;
        isOpen = false;
      },
    };
  }

  #tensor(data: TensorData): Tensor {
    this.liveTensors++;
    let isReleased = false;
    return {
      data: () => {
        if (isReleased) throw new Error("used after release");
        return data;
      },
      release: () => {
        if (!isReleased) this.liveTensors--;
        isReleased = true;
      },
    };
  }

  #runPlaced(
    inputs: ReadonlyMap<string, Tensor>,
    outputs: readonly string[],
    places: ReadonlyMap<string, Room>,
  ): readonly Tensor[] {
    this.runs++;
    const read = (name: string) => new BigInt64Array((inputs.get(name) as Tensor).data().bytes.slice().buffer);
    const [ids, held, past] = [read("input_ids"), read("past_ids"), Number(read("past_length")[0])];
    const capacity = held.length / 2;
    held.set(ids, past);
    held.set(
      ids.map((id) => -id),
      capacity + past,
    );
    const all = held.slice(0, past + ids.length);
    if (all.some((id, place) => id !== -(held[capacity + place] as bigint))) throw new Error("rows are mixed up");
    places.get("new_ids")?.write(0, bytesOf(held));
    const sum = [...all].reduce((before, id, place) => (before * 17 + Number(id) * (place + 1)) % 97, 0);
    const logits = Float32Array.from({ length: VOCABULARY }, (_, id) => Math.sin(sum + id) * 10);
    const results: Record<string, TensorData> = {
      logits: { type: "float32", shape: [VOCABULARY], bytes: bytesOf(logits) },
      confidence: { type: "float32", shape: [], bytes: bytesOf(Float32Array.of(all.length)) },
    };
    return outputs.map((name) => this.#tensor(results[name] as TensorData));
  }

  #run(inputs: ReadonlyMap<string, Tensor>, outputs: readonly string[]): readonly Tensor[] {
    this.runs++;
    const read = (name: string) => (inputs.get(name) as Tensor).data();
    const ids = new BigInt64Array(read("input_ids").bytes.slice().buffer);
    const past = new BigInt64Array(read("past_ids").bytes.slice().buffer);
    let sum = new Float64Array(read("past_sum").bytes.slice().buffer)[0] ?? 0;
    for (const [index, id] of ids.entries()) sum = (sum * 1.7 + Number(id) * (past.length + index + 1)) % 97;
    const logits = Float32Array.from({ length: VOCABULARY }, (_, id) => Math.sin(sum + id) * 10);
    const results: Record<string, TensorData> = {
      logits: { type: "float32", shape: [VOCABULARY], bytes: bytesOf(logits) },
      confidence: { type: "float32", shape: [], bytes: bytesOf(Float32Array.of(past.length + ids.length)) },
      new_ids: { type: "int64", shape: [ids.length, 1], bytes: bytesOf(ids) },
      new_sum: { type: "float64", shape: [1], bytes: bytesOf(Float64Array.of(sum)) },
    };
    return outputs.map((name) => this.#tensor(results[name] as TensorData));
  }
}

function bytesOf(array: Float32Array | Float64Array | BigInt64Array): Uint8Array {
  return new Uint8Array(array.buffer as ArrayBuffer, array.byteOffset, array.byteLength);
}

function concat(first: Uint8Array, second: Uint8Array): Uint8Array {
  return Uint8Array.from([...first, ...second]);
}
