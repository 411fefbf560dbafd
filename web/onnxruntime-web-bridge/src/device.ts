/** The device's profile as a bridge uses it: read from the store, else measured once, also when several tabs want it. */

import { type DeviceProfile, parseProfile } from "./device-profile.ts";
import type { Locks } from "./locks.ts";
import type { ModelStore } from "./store.ts";

export interface Device {
  /** What was measured, or is measured now; undefined where that failed or nobody can measure. */
  profile(): Promise<DeviceProfile | undefined>;
}

/** How a bridge measures, and under what key (`deviceKey`) it keeps what came out. */
export interface DeviceMeter {
  readonly key: string;
  measure(): Promise<DeviceProfile>;
}

const PATH = "device/profile.json";

/** When a device that was busy, or of which nothing could be measured in time, is measured once more. */
const RETRY_MS = 60 * 60 * 1000;

export function createDevice(
  store: ModelStore,
  locks: Locks,
  meter: DeviceMeter | undefined,
  now: () => number = Date.now,
): Device {
  let known: Promise<DeviceProfile | undefined> | undefined;

  async function stored(key: string): Promise<DeviceProfile | undefined> {
    const bytes = await store.read(PATH).catch(() => undefined);
    const profile = bytes && parseProfile(new TextDecoder().decode(bytes), key);
    if (!profile) return undefined;
    const isSure = profile.speeds.length > 0 && !profile.is_noisy;
    return isSure || now() - profile.measured_at < RETRY_MS ? profile : undefined;
  }

  async function find({ key, measure }: DeviceMeter): Promise<DeviceProfile> {
    const before = await stored(key);
    if (before) return before;
    return locks.hold("onnxruntime-web-bridge/device", undefined, async () => {
      const meanwhile = await stored(key);
      if (meanwhile) return meanwhile;
      const profile = await measure();
      await store.write(PATH, new TextEncoder().encode(JSON.stringify(profile))).catch(() => undefined);
      return profile;
    });
  }

  return {
    profile() {
      known ??= meter ? find(meter).catch(() => undefined) : Promise.resolve(undefined);
      return known;
    },
  };
}
