import { type WasmMemory, WasmProgram } from "../../shared/web-assembly.ts";

/** `dot-product.wat`, compiled: it multiplies 16 numbers at once. */
export const dotProductProgram = new WasmProgram(
  "AGFzbQEAAAABEAJgA39/fwF/YAV/f39/fwADAwIAAQUDAQABBxECBm1lbW9yeQIABGRvdHMAAQq1AQJ3AgF/A3sgACAC" +
    "aiEDA0AgAP0ABAAhBCAFIAT9hwEgAf0ABAD9ugH9rgEhBSAGIAT9iAEgAf0ABBD9ugH9rgEhBiAAQRBqIQAgAUEgaiEB" +
    "IAAgA0kNAAsgBSAG/a4BIQUgBf0bACAF/RsBaiAF/RsCIAX9GwNqags7AQF/IAQgAUECdGohBQJAA0AgBCAFTw0BIAQg" +
    "ACgCACACIAMQADYCACAAQQRqIQAgBEEEaiEEDAALCws=",
);

/** Addresses are bytes of `memory`; lengths are multiples of 16. */
export interface DotProduct {
  readonly memory: WasmMemory;
  /**
   * Of so many rows of 8-bit numbers, whose addresses stand in a list, with one vector of 16-bit
   * numbers: 32-bit numbers at `out`.
   */
  dots(list: number, rows: number, vector: number, length: number, out: number): void;
}

export function dotProduct(): DotProduct {
  return dotProductProgram.start() as DotProduct;
}
