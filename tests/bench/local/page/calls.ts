/** Calls to a worker and back, as plain messages. */

type Handlers = Record<string, (...words: never[]) => unknown>;

interface Message {
  readonly bench: number;
  readonly method: string;
  readonly words: unknown[];
}

/** Answer calls in a worker; other messages are not touched. */
export function serve(handlers: Handlers): void {
  self.addEventListener("message", async ({ data }: MessageEvent<Message>) => {
    if (typeof data?.bench !== "number" || !("method" in data)) return;
    try {
      const value = await handlers[data.method]?.(...(data.words as never[]));
      self.postMessage({ bench: data.bench, value });
    } catch (error) {
      const text = error instanceof Error ? `${error.message}\n${error.stack ?? ""}` : String(error);
      self.postMessage({ bench: data.bench, error: text });
    }
  });
}

/** Give a function that calls a worker. */
export function connect(worker: Worker | MessagePort): <T>(method: string, ...words: unknown[]) => Promise<T> {
  let last = 0;
  const waiting = new Map<number, { resolve: (value: never) => void; reject: (error: Error) => void }>();
  worker.addEventListener("message", (event) => {
    const { data } = event as MessageEvent;
    const call = waiting.get(data?.bench);
    if (!call) return;
    waiting.delete(data.bench);
    if ("error" in data) call.reject(new Error(data.error));
    else call.resolve(data.value as never);
  });
  worker.addEventListener("error", (event) => {
    for (const { reject } of waiting.values()) reject(new Error(`the worker failed: ${(event as ErrorEvent).message}`));
  });
  return (method, ...words) =>
    new Promise((resolve, reject) => {
      last += 1;
      waiting.set(last, { resolve: resolve as never, reject });
      worker.postMessage({ bench: last, method, words });
    });
}
