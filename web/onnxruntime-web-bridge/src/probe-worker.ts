/**
 * Measuring in a worker of its own: it can be ended when it takes too long, and its memory and threads go with it.
 */

import type { DeviceMeter } from "./device.ts";
import { deviceKey, measureDevice, type ProbeParts, unmeasured } from "./device-probe.ts";
import type { DeviceProfile } from "./device-profile.ts";

const LIMIT_MS = 8000;

/** In the worker: measure, and post the profile. */
export async function answerProbe(parts: ProbeParts, post: (profile: DeviceProfile) => void): Promise<void> {
  post(await measureDevice(parts));
}

/** Measure in the worker that `start` starts, which calls `answerProbe`. It is ended in any case. */
export function workerMeter(start: () => Worker, limitMs = LIMIT_MS): DeviceMeter {
  return {
    key: deviceKey(),
    async measure() {
      const worker = start();
      let timer: ReturnType<typeof setTimeout> | undefined;
      try {
        return await new Promise<DeviceProfile>((resolve) => {
          timer = setTimeout(() => resolve(unmeasured()), limitMs);
          worker.addEventListener("error", () => resolve(unmeasured()));
          worker.addEventListener("message", ({ data }) => resolve(data as DeviceProfile));
        });
      } finally {
        clearTimeout(timer);
        worker.terminate();
      }
    },
  };
}
