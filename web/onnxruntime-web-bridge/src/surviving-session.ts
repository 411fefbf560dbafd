/**
 * A session that outlives its graphics processor.
 *
 * A driver that restarts, or a machine that wakes up, takes the device away and all that was on it. The session then goes
 * on with another one, made on WebAssembly: it is given the tokens again, and the caller notices only that it took longer.
 */

import { BridgeError, toBridgeError } from "./errors.ts";
import type { OnnxSession } from "./session.ts";
import { SNAPSHOTS_IN_STORE } from "./snapshot.ts";

/** What the sequence consists of: a snapshot cut to a length, or nothing, and the tokens behind it. */
interface History {
  readonly key: string | undefined;
  readonly kept: number;
  readonly ids: readonly number[];
}

const EMPTY: History = { key: undefined, kept: 0, ids: [] };
/** Tokens in one run while they are given again. */
const PIECE = 64;

/** Wrap a session; `reopen` makes the one that takes its place, once. `onClose` is called when the caller has closed it. */
export function survivingSession(
  first: OnnxSession,
  reopen: () => Promise<OnnxSession>,
  onClose: () => void,
): OnnxSession {
  let session = first;
  let history = EMPTY;
  /** What was in the sequence under each key when it was kept: a lost device may take the snapshots too. */
  const kept = new Map<string, History>();
  let replaced: Promise<void> | undefined;
  let isClosed = false;

  async function replay({ key, kept: length, ids }: History): Promise<void> {
    if (key !== undefined && !((await session.restore(key)) && (await session.rewind(length)))) {
      const before = kept.get(key);
      if (!before || before.key === key)
        throw new BridgeError("closed", "the model's state was lost with the graphics processor");
      await session.reset();
      await replay(before);
      await session.rewind(length);
    }
    for (let start = 0; start < ids.length; start += PIECE) {
      await session.forward(Int32Array.from(ids.slice(start, start + PIECE)), 1);
    }
  }

  async function replace(): Promise<void> {
    // What is left of it can't be used, and may not be closed in order either.
    await session.close().catch(() => undefined);
    session = await reopen();
    await replay(history);
  }

  /** Do it, and once more on another session if the device is lost meanwhile. */
  async function surely<T>(use: () => Promise<T>): Promise<T> {
    const used = session;
    try {
      return await use();
    } catch (error) {
      if (isClosed || used !== first || toBridgeError(error).kind !== "device_lost") throw error;
      replaced ??= replace();
      await replaced;
      return use();
    }
  }

  /** Say it without the snapshot, where it is known what was in that. */
  function flatten(held: History): History {
    const before = held.key === undefined ? undefined : kept.get(held.key);
    if (!before) return held;
    const base = cut(before, held.kept);
    return { ...base, ids: [...base.ids, ...held.ids] };
  }

  return {
    get manifest() {
      return session.manifest;
    },
    get length() {
      return session.length;
    },
    read: (name) => session.read(name),
    forward: (ids, k, allowed, signal) =>
      surely(async () => {
        const reply = await session.forward(ids, k, allowed, signal);
        if (ids.length > 0) history = { ...history, ids: [...history.ids, ...ids] };
        return reply;
      }),
    embed: (ids, lengths, signal) => surely(() => session.embed(ids, lengths, signal)),
    rewind: (length) =>
      surely(async () => {
        const isShorter = await session.rewind(length);
        if (isShorter) history = cut(history, length);
        return isShorter;
      }),
    reset: () =>
      surely(async () => {
        await session.reset();
        history = EMPTY;
      }),
    snapshot: (key, isTemporary) =>
      surely(async () => {
        await session.snapshot(key, isTemporary);
        const whole = flatten(history);
        kept.delete(key);
        kept.set(key, whole);
        for (const oldest of [...kept.keys()].slice(0, -SNAPSHOTS_IN_STORE)) kept.delete(oldest);
      }),
    restore: (key) =>
      surely(async () => {
        const isThere = await session.restore(key);
        if (isThere) history = { key, kept: session.length, ids: [] };
        return isThere;
      }),
    async close() {
      isClosed = true;
      await replaced?.catch(() => undefined);
      await session.close();
      onClose();
    },
  };
}

function cut({ key, kept, ids }: History, length: number): History {
  return { key, kept: Math.min(kept, length), ids: ids.slice(0, Math.max(0, length - kept)) };
}
