import assert from "node:assert/strict";
import { test } from "node:test";
import { createHostFetch, type HostFetch } from "./host-fetch.ts";

const encoder = new TextEncoder();

interface Seen {
  readonly chunks: string[];
  readonly ended: Promise<string | undefined>;
  readonly job: ReturnType<HostFetch["send"]>;
}

function send(fetcher: typeof fetch, { isOnline = true, silence = 5 } = {}): Seen {
  const chunks: string[] = [];
  let end: (failure: string | undefined) => void = () => undefined;
  const ended = new Promise<string | undefined>((resolve) => {
    end = resolve;
  });
  const host = createHostFetch(fetcher, () => isOnline);
  const job = host.send("POST", "http://x/", '{"a":"b"}', encoder.encode("body"), silence, (chunk, failure) => {
    if (chunk) chunks.push(new TextDecoder().decode(chunk));
    else end(failure);
  });
  return { chunks, ended, job };
}

function streaming(...pieces: readonly (string | Error)[]): ReadableStream<Uint8Array> {
  const left = [...pieces];
  return new ReadableStream({
    pull(controller) {
      const piece = left.shift();
      if (piece === undefined) controller.close();
      else if (typeof piece === "string") controller.enqueue(encoder.encode(piece));
      else controller.error(piece);
    },
  });
}

test("a body arrives in pieces and ends", async () => {
  const { chunks, ended, job } = send(async () => new Response(streaming("a", "b"), { headers: { "X-Y": "z" } }));

  assert.deepEqual(await job.promise, { status: 200, headers: '{"x-y":"z"}' });
  assert.equal(await ended, undefined);
  assert.deepEqual(chunks, ["a", "b"]);
});

test("a body that breaks off ends with reset", async () => {
  const { ended, chunks } = send(async () => new Response(streaming("a", new TypeError("network error"))));

  assert.equal(await ended, "reset");
  assert.deepEqual(chunks, ["a"]);
});

test("a server that closes before it answers is told from one that does not let us in, where the cause says so", async () => {
  for (const told of [{ code: "ECONNRESET" }, { code: "UND_ERR_SOCKET" }, { name: "HTTPParserError" }]) {
    const broken: typeof fetch = async (_, init) => {
      if (init?.mode === "no-cors") return new Response();
      throw new TypeError("fetch failed", { cause: Object.assign(new Error("other side closed"), told) });
    };

    await assert.rejects(send(broken).job.promise, { name: "reset" });
  }
});

test("a server that is there but does not let us in is told from one that is not", async () => {
  const refuse: typeof fetch = async (_, init) => {
    if (init?.mode === "no-cors") return new Response();
    throw new TypeError("Failed to fetch");
  };
  const nobody: typeof fetch = async () => {
    throw new TypeError("Failed to fetch");
  };

  await assert.rejects(send(refuse).job.promise, { name: "cors" });
  await assert.rejects(send(nobody).job.promise, { name: "unreachable" });
  await assert.rejects(send(nobody, { isOnline: false }).job.promise, { name: "offline" });
});

test("silence before the head and within the body ends with timeout", async () => {
  const mute: typeof fetch = (_, init) =>
    new Promise((_resolve, reject) => init?.signal?.addEventListener("abort", () => reject(init.signal?.reason)));
  await assert.rejects(send(mute, { silence: 0.02 }).job.promise, { name: "timeout" });

  const stuck: typeof fetch = async (_, init) => {
    const body = new ReadableStream({
      start: (controller) => init?.signal?.addEventListener("abort", () => controller.error(init.signal?.reason)),
    });
    return new Response(body);
  };
  assert.equal(await send(stuck, { silence: 0.02 }).ended, "timeout");
});

test("after an abort nothing is called and the request's signal has fired", async () => {
  let signal: AbortSignal | null | undefined;
  const fetcher: typeof fetch = async (_, init) => {
    signal = init?.signal;
    return new Response(streaming("a", "b", "c"));
  };
  const { chunks, job } = send(fetcher);
  await job.promise;
  job.abort();
  const before = chunks.length;
  await new Promise((resolve) => setTimeout(resolve, 20));

  assert.equal(signal?.aborted, true);
  assert.equal(chunks.length, before);
});
