/** A queue with one writer and one reader, who iterates over it until it ends. */
export interface Pipe<T> extends AsyncIterable<T> {
  push(item: T): void;
  /** The reader gets what was pushed, then the end, or this error. */
  end(error?: Error): void;
}

/** `onTake` is called for each item that the reader took. */
export function createPipe<T>(onTake: () => void = () => undefined): Pipe<T> {
  const items: T[] = [];
  let isOver = false;
  let failure: Error | undefined;
  let wake: (() => void) | null = null;

  const notify = () => {
    wake?.();
    wake = null;
  };

  return {
    push(item) {
      items.push(item);
      notify();
    },
    end(error) {
      if (isOver) return;
      isOver = true;
      failure = error;
      notify();
    },
    async *[Symbol.asyncIterator]() {
      for (;;) {
        while (items.length > 0) {
          const item = items.shift() as T;
          onTake();
          yield item;
        }
        if (failure) throw failure;
        if (isOver) return;
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    },
  };
}
