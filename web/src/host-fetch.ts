/**
 * `fetch` as Python uses it: one job for a request, whose body is pumped into one Python callable as bytes.
 *
 * Python never waits for a chunk: awaiting a promise costs 0.2-0.3 ms in Pyodide 314, calling Python with a
 * `Uint8Array` 0.015 ms. And cancelling a task inside `async for` over a JavaScript stream loses the next promise.
 */

import { type Job, startJob } from "./job.ts";

/** How a request failed; the same words as `FetchFailure` in Python. */
export type FetchFailure = "offline" | "unreachable" | "cors" | "timeout" | "reset";

/**
 * Called with each piece of the body; at the end without one, and with how it failed, if it did.
 * (Not null: that is an object of its own in Pyodide, only undefined becomes `None`.)
 */
export type ChunkReceiver = (chunk: Uint8Array | undefined, failure: FetchFailure | undefined) => void;

export interface ResponseHead {
  readonly status: number;
  /** A JSON object of lower-case names. */
  readonly headers: string;
}

export interface HostFetch {
  /**
   * Send a request; the promise gives the head, the body goes to `onChunk` afterwards, never after `abort`.
   * It rejects with an error whose `name` is a `FetchFailure`.
   */
  send(
    method: string,
    url: string,
    headersJson: string,
    body: Uint8Array | undefined,
    timeoutSeconds: number,
    onChunk: ChunkReceiver,
  ): Job<ResponseHead>;
}

export function createHostFetch(fetcher: typeof fetch, isOnline: () => boolean): HostFetch {
  return {
    send(method, url, headersJson, body, timeoutSeconds, onChunk) {
      return startJob(async (signal) => {
        const silence = createSilenceTimer(timeoutSeconds * 1000);
        const stop = AbortSignal.any([signal, silence.signal]);
        try {
          const response = await fetcher(url, {
            method,
            headers: JSON.parse(headersJson) as Record<string, string>,
            body: (body ?? null) as BodyInit | null,
            signal: stop,
            // A key goes in a header; cookies of that site are none of our business.
            credentials: "omit",
          });
          silence.restart();
          void pump(response, silence, signal, onChunk);
          const headers: Record<string, string> = {};
          response.headers.forEach((value, name) => {
            headers[name] = value;
          });
          return { status: response.status, headers: JSON.stringify(headers) };
        } catch (error) {
          silence.stop();
          if (signal.aborted) throw error;
          if (silence.signal.aborted) throw named("timeout");
          throw named(brokeOff(error) ? "reset" : await classify(fetcher, isOnline, url, signal));
        }
      });
    },
  };
}

async function pump(
  response: Response,
  silence: SilenceTimer,
  signal: AbortSignal,
  onChunk: ChunkReceiver,
): Promise<void> {
  let failure: FetchFailure | undefined;
  try {
    const reader = response.body?.getReader();
    while (reader && !signal.aborted) {
      const { done, value } = await reader.read();
      if (done) break;
      silence.restart();
      if (!signal.aborted) onChunk(value, undefined);
    }
  } catch {
    failure = silence.signal.aborted ? "timeout" : "reset";
  } finally {
    silence.stop();
  }
  // After an abort Python has given its callable back: it must not be called any more.
  if (!signal.aborted) onChunk(undefined, failure);
}

/** Whether the server was reached and broke off. Node says so in the cause of the error; a page is not told. */
function brokeOff(error: unknown): boolean {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : undefined;
  const code = cause && "code" in cause && cause.code;
  return cause?.name === "HTTPParserError" || /^(ECONNRESET|EPIPE|UND_ERR_SOCKET)$/.test(String(code));
}

/**
 * Find out why `fetch` threw. A page is not told whether a server is away or merely does not allow this origin; but a
 * request that does not ask to read the answer ("no-cors") goes through to any server that is there.
 */
async function classify(
  fetcher: typeof fetch,
  isOnline: () => boolean,
  url: string,
  signal: AbortSignal,
): Promise<FetchFailure> {
  if (!isOnline()) return "offline";
  try {
    const stop = AbortSignal.any([signal, AbortSignal.timeout(5000)]);
    await fetcher(url, { method: "GET", mode: "no-cors", credentials: "omit", cache: "no-store", signal: stop });
    return "cors";
  } catch {
    return isOnline() ? "unreachable" : "offline";
  }
}

function named(failure: FetchFailure): Error {
  const error = new Error("the request failed");
  error.name = failure;
  return error;
}

interface SilenceTimer {
  readonly signal: AbortSignal;
  restart(): void;
  stop(): void;
}

function createSilenceTimer(milliseconds: number): SilenceTimer {
  const controller = new AbortController();
  let timer = setTimeout(() => controller.abort(), milliseconds);
  return {
    signal: controller.signal,
    restart() {
      clearTimeout(timer);
      timer = setTimeout(() => controller.abort(), milliseconds);
    },
    stop: () => clearTimeout(timer),
  };
}
