/**
 * `dot-product.wat`, compiled: V8 makes machine code of it that multiplies 16 numbers at once, which
 * it does for no loop of JavaScript. A test compiles the source again and compares.
 */
export const dotProductModule = Buffer.from(
  "AGFzbQEAAAABEAJgA39/fwF/YAV/f39/fwADAwIAAQUDAQABBxECBm1lbW9yeQIABGRvdHMAAQq1AQJ3AgF/A3sgACAC" +
    "aiEDA0AgAP0ABAAhBCAFIAT9hwEgAf0ABAD9ugH9rgEhBSAGIAT9iAEgAf0ABBD9ugH9rgEhBiAAQRBqIQAgAUEgaiEB" +
    "IAAgA0kNAAsgBSAG/a4BIQUgBf0bACAF/RsBaiAF/RsCIAX9GwNqags7AQF/IAQgAUECdGohBQJAA0AgBCAFTw0BIAQg" +
    "ACgCACACIAMQADYCACAAQQRqIQAgBEEEaiEEDAALCws=",
  "base64",
);

interface Memory {
  readonly buffer: ArrayBuffer;
  /** By so many pages of 64 KiB. Views of the buffer that was are void. */
  grow(pages: number): number;
}

/** As much of it as is used here: TypeScript has its types with those of browsers. */
declare namespace WebAssembly {
  class Module {
    constructor(bytes: Uint8Array);
  }
  class Instance {
    readonly exports: unknown;
    constructor(module: Module);
  }
}

/** Addresses are bytes of `memory`; lengths are multiples of 16. */
export interface DotProduct {
  readonly memory: Memory;
  /**
   * Of so many rows of 8-bit numbers, whose addresses stand in a list, with one vector of 16-bit
   * numbers: 32-bit numbers at `out`.
   */
  dots(list: number, rows: number, vector: number, length: number, out: number): void;
}

let compiled: WebAssembly.Module | undefined;

export function dotProduct(): DotProduct {
  compiled ??= new WebAssembly.Module(dotProductModule);
  return new WebAssembly.Instance(compiled).exports as DotProduct;
}
