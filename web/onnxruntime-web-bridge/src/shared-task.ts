/** The same long work wanted by several callers at once is done once; it stops when the last of them has gone. */

import { BridgeError } from "./errors.ts";

export interface Caller<P> {
  readonly onProgress?: ((progress: P) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

interface Shared<P> {
  readonly onProgress: (progress: P) => void;
  readonly signal: AbortSignal;
}

interface Task<T, P> {
  readonly result: Promise<T>;
  readonly callers: Set<Caller<P>>;
  readonly controller: AbortController;
}

export class SharedTasks<T, P> {
  readonly #tasks = new Map<string, Task<T, P>>();

  /** Begin `work`, or join the one with that name that is under way. */
  async join(name: string, caller: Caller<P>, work: (shared: Shared<P>) => Promise<T>): Promise<T> {
    if (caller.signal?.aborted) throw stopped();
    const task = this.#tasks.get(name) ?? this.#begin(name, work);
    task.callers.add(caller);
    return new Promise((resolve, reject) => {
      const leave = () => {
        task.callers.delete(caller);
        if (task.callers.size === 0) this.#stop(name, task);
        reject(stopped());
      };
      caller.signal?.addEventListener("abort", leave, { once: true });
      task.result.then(resolve, reject).finally(() => caller.signal?.removeEventListener("abort", leave));
    });
  }

  abort(): void {
    for (const [name, task] of this.#tasks) this.#stop(name, task);
  }

  #begin(name: string, work: (shared: Shared<P>) => Promise<T>): Task<T, P> {
    const callers = new Set<Caller<P>>();
    const controller = new AbortController();
    const onProgress = (progress: P) => {
      for (const caller of callers) caller.onProgress?.(progress);
    };
    const result = work({ onProgress, signal: controller.signal });
    const task: Task<T, P> = { result, callers, controller };
    this.#tasks.set(name, task);
    const forget = () => {
      if (this.#tasks.get(name) === task) this.#tasks.delete(name);
    };
    result.then(forget, forget);
    return task;
  }

  #stop(name: string, task: Task<T, P>): void {
    // A caller that comes now begins anew instead of joining what is being stopped.
    if (this.#tasks.get(name) === task) this.#tasks.delete(name);
    task.controller.abort();
  }
}

function stopped(): BridgeError {
  return new BridgeError("aborted", "stopped by the caller");
}
