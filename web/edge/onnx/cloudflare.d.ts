/** What we use of Workers. */
declare module "cloudflare:workers" {
  /** A binding of one's own to a Worker's methods, or to an object. */
  export abstract class WorkerEntrypoint<Env> {
    protected readonly env: Env;
    constructor(ctx: unknown, env: Env);
  }
  export abstract class DurableObject<Env> {
    protected readonly env: Env;
    constructor(ctx: unknown, env: Env);
  }
}

declare module "*.wasm" {
  const module: WebAssembly.Module;
  // biome-ignore lint/style/noDefaultExport: it describes a module that has one.
  export default module;
}
