/**
 * A bridge whose worker starts at the first need, and is ended some time after the last model was closed.
 *
 * Memory that a module of wasm has taken it never gives back while its worker lives, and threads keep it there for good.
 */

import { connectOnnxBridge, type OnnxBridge, type OnnxSession } from "onnxruntime-web-bridge";

/** Who closes one model to open another should find the runtime started. */
const IDLE_MS = 5000;

/** Give a function that gives the bridge. What it gave last may be closed by now: ask again at each need. */
export function bridgeAtNeed(startWorker: () => Worker, idleMs = IDLE_MS): () => OnnxBridge {
  let current: OnnxBridge | undefined;

  function start(): OnnxBridge {
    const worker = startWorker();
    const end = () => {
      if (current === bridge) current = undefined;
      worker.terminate();
    };
    // Its open calls fail with `closed`; the next need starts another one.
    worker.addEventListener("error", end);
    const bridge = endedWhenIdle(connectOnnxBridge(worker), end, idleMs);
    return bridge;
  }

  return () => {
    current ??= start();
    return current;
  };
}

/** Call `end` once no session has been open and no call been under way for so long. */
function endedWhenIdle(inner: OnnxBridge, end: () => void, idleMs: number): OnnxBridge {
  const open = new Map<string, { session: OnnxSession; watched: OnnxSession }>();
  let calls = 0;
  let timer: ReturnType<typeof setTimeout> | undefined;

  async function during<T>(call: () => Promise<T>): Promise<T> {
    calls += 1;
    clearTimeout(timer);
    try {
      return await call();
    } finally {
      calls -= 1;
      if (calls === 0 && open.size === 0) timer = setTimeout(end, idleMs);
    }
  }

  function watch(url: string, session: OnnxSession): OnnxSession {
    const close = () =>
      during(async () => {
        if (open.get(url)?.session === session) open.delete(url);
        await session.close();
      });
    // Its length is a getter, which a copy would not have.
    return Object.create(session, { close: { value: close } }) as OnnxSession;
  }

  return {
    availability: (url) => during(() => inner.availability(url)),
    describe: (url) => during(() => inner.describe(url)),
    load: (url, options) =>
      during(async () => {
        const session = await inner.load(url, options);
        const known = open.get(url);
        if (known?.session === session) return known.watched;
        const watched = watch(url, session);
        open.set(url, { session, watched });
        return watched;
      }),
    download: (url, options) => during(() => inner.download(url, options)),
    remove: (url) =>
      during(async () => {
        open.delete(url);
        await inner.remove(url);
      }),
    list: () => during(() => inner.list()),
    storage: () => during(() => inner.storage()),
    device: () => during(() => inner.device()),
    close: () => inner.close(),
  };
}
