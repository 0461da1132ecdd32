import { type WasmMemory, WasmProgram } from "../../shared/web-assembly.ts";

/** `dot-product.wat`, compiled: it multiplies 16 numbers at once. */
export const dotProductProgram = new WasmProgram(
  "AGFzbQEAAAABFwNgA39/fwF/YAV/f39/fwBgA39/fwF8AwQDAAECBQMBAAEHGwMGbWVtb3J5AgAEZG90cwABB3Byb2R1Y3" +
    "QAAgqDAwN3AgF/A3sgACACaiEDA0AgAP0ABAAhBCAFIAT9hwEgAf0ABAD9ugH9rgEhBSAGIAT9iAEgAf0ABBD9ugH9rgEh" +
    "BiAAQRBqIQAgAUEgaiEBIAAgA0kNAAsgBSAG/a4BIQUgBf0bACAF/RsBaiAF/RsCIAX9GwNqags4AQF/IAQgAUECdGohBQ" +
    "JAA0AgBCAFTw0BIAQgACACIAMQADYCACAAIANqIQAgBEEEaiEEDAALCwvPAQIBfwV7IAAgAkECdGohAwNAIAD9AAQAIQQg" +
    "BSAE/V8gAf0ABAD98gH98AEhBSAGIAQgBP0NCAkKCwwNDg8AAQIDBAUGB/1fIAH9AAQQ/fIB/fABIQYgAP0ABBAhBCAHIA" +
    "T9XyAB/QAEIP3yAf3wASEHIAggBCAE/Q0ICQoLDA0ODwABAgMEBQYH/V8gAf0ABDD98gH98AEhCCAAQSBqIQAgAUHAAGoh" +
    "ASAAIANJDQALIAUgBv3wASAHIAj98AH98AEhBSAF/SEAIAX9IQGgCw==",
);

/** Addresses are bytes of `memory`; lengths are in components, multiples of 16. */
export interface DotProduct {
  readonly memory: WasmMemory;
  /**
   * Of so many rows of 8-bit numbers, one after the other, with one vector of 16-bit numbers: 32-bit
   * numbers at `out`.
   */
  dots(row: number, rows: number, vector: number, length: number, out: number): void;
  /** Of a row of 32-bit floats with a vector of 64-bit floats. Equal rows have equal products. */
  product(row: number, vector: number, length: number): number;
}

export function dotProduct(): DotProduct {
  return dotProductProgram.start() as DotProduct;
}
