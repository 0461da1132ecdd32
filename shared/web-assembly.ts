/** As far as it is used here: TypeScript has its types with those of browsers only. */
declare const WebAssembly: {
  readonly Memory: new (size: { readonly initial: number }) => WasmMemory;
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (module: object, imports: object) => { readonly exports: unknown };
};

export const wasmPageBytes = 65_536;

export interface WasmMemory {
  readonly buffer: ArrayBuffer;
  /** By so many pages of 64 KiB. Views of the buffer that was are void. */
  grow(pages: number): number;
}

/** A memory of so many pages of 64 KiB, for modules that import one. */
export function wasmMemory(pages: number): WasmMemory {
  return new WebAssembly.Memory({ initial: pages });
}

/**
 * A small program for the processor's vector unit, which V8 uses for no loop of JavaScript. It is
 * kept as base64 of what its `.wat` source compiles to; a test beside it compares the two.
 */
export class WasmProgram {
  readonly bytes: Buffer;
  #module: object | undefined;

  constructor(base64: string) {
    this.bytes = Buffer.from(base64, "base64");
  }

  /** The exports of a new instance; it is compiled once. */
  start(imports: object = {}): unknown {
    this.#module ??= new WebAssembly.Module(this.bytes);
    return new WebAssembly.Instance(this.#module, imports).exports;
  }
}
