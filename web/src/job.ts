/**
 * A piece of work that can be stopped: what Python is given wherever it has to wait for JavaScript.
 *
 * `limpet.hosts.ffi` awaits `promise` and calls `abort` when it is done or was cancelled, so that a cancelled task
 * in Python always ends what goes on here.
 */
export interface Job<T> {
  readonly promise: Promise<T>;
  /** Harmless after the end and when called twice. */
  abort(): void;
}

/** Start `work` and hand it the signal that `abort` trips. */
export function startJob<T>(work: (signal: AbortSignal) => Promise<T>): Job<T> {
  const controller = new AbortController();
  const promise = work(controller.signal);
  // Python may have stopped waiting before the work fails of being stopped: that is nobody's error.
  promise.catch(() => undefined);
  return { promise, abort: () => controller.abort() };
}
