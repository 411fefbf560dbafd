/** Notes the wasm memories that are made in this thread from now on. */

const made: WebAssembly.Memory[] = [];

export function watchMemories(): void {
  const Plain = WebAssembly.Memory;
  WebAssembly.Memory = new Proxy(Plain, {
    construct(target, words) {
      const memory = Reflect.construct(target, words) as WebAssembly.Memory;
      made.push(memory);
      return memory;
    },
  });
}

/** Bytes of all of them. One that nobody uses any more counts until it is forgotten with its worker. */
export function memoryBytes(): number {
  return made.reduce((sum, memory) => sum + memory.buffer.byteLength, 0);
}
