/** One at a time by name: between tabs where the browser has Web Locks, else within this process. */

export interface Locks {
  /** Wait for the lock, hold it while `use` runs. An aborted wait rejects with an `AbortError`. */
  hold<T>(name: string, signal: AbortSignal | undefined, use: () => Promise<T>): Promise<T>;
  isHeld(name: string): Promise<boolean>;
}

/** `manager` is `navigator.locks`; without it two tabs may download the same file twice. */
export function createLocks(manager: LockManager | undefined): Locks {
  return manager ? webLocks(manager) : localLocks();
}

function webLocks(manager: LockManager): Locks {
  return {
    hold: async (name, signal, use) => manager.request(name, signal ? { signal } : {}, use),
    isHeld: async (name) => ((await manager.query()).held ?? []).some((lock) => lock.name === name),
  };
}

function localLocks(): Locks {
  const tails = new Map<string, Promise<unknown>>();
  return {
    async hold(name, signal, use) {
      const before = tails.get(name) ?? Promise.resolve();
      const result = before.then(() => {
        signal?.throwIfAborted();
        return use();
      });
      const tail = result.then(
        () => undefined,
        () => undefined,
      );
      tails.set(name, tail);
      try {
        return await result;
      } finally {
        if (tails.get(name) === tail) tails.delete(name);
      }
    },
    isHeld: async (name) => tails.has(name),
  };
}
