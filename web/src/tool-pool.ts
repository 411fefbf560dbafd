/**
 * Workers that stand by for tools which compute for long (`@tool(pool=True)`): each has an interpreter of its own.
 *
 * A call has its worker to itself. One that is stopped is ended with its worker, since nothing else ends Python that
 * computes; the next call starts another.
 */

import { type Job, startJob } from "./job.ts";

/** What Python is given; the texts are those of `pool_wire.py`. */
export interface HostPool {
  call(call: string, onProgress: (content: string) => void): Job<string>;
}

/** A worker as the pool sees it; it takes calls, and posts a `PoolMessage` for each thing that it has to say. */
export interface PoolWorker {
  onmessage: ((message: MessageEvent<PoolMessage>) => void) | null;
  onerror: ((event: ErrorEvent) => void) | null;
  postMessage(call: string): void;
  terminate(): void;
}

export type PoolMessage = { readonly progress: string } | { readonly answer: string } | { readonly failure: string };

const IDLE_MS = 60_000;

interface Idle {
  readonly worker: PoolWorker;
  readonly timer: ReturnType<typeof setTimeout>;
}

/** At most `size` workers; one that was idle for `idleMs` is ended. */
export function createToolPool(start: () => Promise<PoolWorker>, size: number, idleMs = IDLE_MS): HostPool {
  const idle: Idle[] = [];
  const waiting: (() => void)[] = [];
  let free = size;

  async function enter(signal: AbortSignal): Promise<void> {
    if (free > 0) {
      free -= 1;
      return;
    }
    await new Promise<void>((resolve, reject) => {
      const stop = () => {
        waiting.splice(waiting.indexOf(go), 1);
        reject(stopped());
      };
      const go = () => {
        signal.removeEventListener("abort", stop);
        resolve();
      };
      waiting.push(go);
      signal.addEventListener("abort", stop, { once: true });
    });
  }

  function leave(): void {
    const next = waiting.shift();
    if (next) next();
    else free += 1;
  }

  function take(): PoolWorker | undefined {
    const seat = idle.pop();
    clearTimeout(seat?.timer);
    return seat?.worker;
  }

  function rest(worker: PoolWorker): void {
    const timer = setTimeout(() => {
      idle.splice(
        idle.findIndex((seat) => seat.worker === worker),
        1,
      );
      worker.terminate();
    }, idleMs);
    idle.push({ worker, timer });
  }

  return {
    call: (call, onProgress) =>
      startJob(async (signal) => {
        await enter(signal);
        try {
          const worker = take() ?? (await start());
          let isDone = false;
          try {
            const answer = await ask(worker, call, onProgress, signal);
            isDone = true;
            return answer;
          } finally {
            if (isDone) rest(worker);
            else worker.terminate();
          }
        } finally {
          leave();
        }
      }),
  };
}

function ask(
  worker: PoolWorker,
  call: string,
  onProgress: (content: string) => void,
  signal: AbortSignal,
): Promise<string> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) {
      reject(stopped());
      return;
    }
    signal.addEventListener("abort", () => reject(stopped()), { once: true });
    worker.onerror = (event) => reject(new Error(`its worker broke down (${event.message})`));
    worker.onmessage = ({ data }) => {
      // Python must not be called any more once it has stopped the job.
      if (signal.aborted) return;
      if ("progress" in data) onProgress(data.progress);
      else if ("answer" in data) resolve(data.answer);
      else reject(new Error(data.failure));
    };
    worker.postMessage(call);
  });
}

function stopped(): Error {
  return new DOMException("it was stopped", "AbortError");
}

/** How many workers a device is good for: one stays for the agent, but two tools shall not wait for each other. */
export function poolSize(cores: number): number {
  return Math.max(2, cores - 1);
}
