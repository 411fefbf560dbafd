// Cloudflare's classes, as Python has them: every call goes to the instance of the same class in `entry.py`.
import { DurableObject, WorkerEntrypoint } from "cloudflare:workers";
import { python } from "./boot.mjs";

/** Stops the errors of Python from telling a client where in our files they arose. */
async function call(instance, name, args) {
  const module = await python();
  return module.call(instance, name, args);
}

export function entrypoint(name) {
  return class extends WorkerEntrypoint {
    async fetch(request) {
      const module = await python();
      const instance = module.create(name, this.ctx, this.env);
      try {
        return await call(instance, "fetch", [request]);
      } finally {
        instance.destroy();
      }
    }
  };
}

export function durableObject(name) {
  return class extends DurableObject {
    #instance;

    async #call(method, args) {
      const module = await python();
      this.#instance ??= module.create(name, this.ctx, this.env);
      return module.call(this.#instance, method, args);
    }

    fetch(request) {
      return this.#call("fetch", [request]);
    }

    alarm(info) {
      return this.#call("alarm", [info]);
    }

    // Calls over RPC, by the names that the Python classes have.
    do(method, ...args) {
      return this.#call(method, args);
    }
  };
}
