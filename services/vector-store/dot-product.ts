import { type WasmMemory, WasmProgram } from "../../shared/web-assembly.ts";

/** `dot-product.wat`, compiled: it multiplies 16 numbers at once. */
export const dotProductProgram = new WasmProgram(
  "AGFzbQEAAAABJQVgAXsBf2ADf39/AX9gBX9/f39/AGAGf39/f39/AGADf39/AXwDBgUAAQIDBAUDAQABBy4FBm1lbW9yeQIA" +
    "A2RvdAABBGRvdHMAAgpkb3RzT2ZGb3VyAAMHcHJvZHVjdAAECoYGBRkAIAD9GwAgAP0bAWogAP0bAiAA/RsDamoLYAIBfwN7" +
    "IAAgAmohAwNAIAD9AAQAIQQgBSAE/YcBIAH9AAQA/boB/a4BIQUgBiAE/YgBIAH9AAQQ/boB/a4BIQYgAEEQaiEAIAFBIGoh" +
    "ASAAIANJDQALIAUgBv2uARAACzgBAX8gBCABQQJ0aiEFAkADQCAEIAVPDQEgBCAAIAIgAxABNgIAIAAgA2ohACAEQQRqIQQM" +
    "AAsLC/4CAgZ/B3sgBCABQQJ0aiEGIAQgBWohByAHIAVqIQggCCAFaiEJAkADQCAEIAZPDQEgACADaiEKIAIhC/0MAAAAAAAA" +
    "AAAAAAAAAAAAACEP/QwAAAAAAAAAAAAAAAAAAAAAIRD9DAAAAAAAAAAAAAAAAAAAAAAhEf0MAAAAAAAAAAAAAAAAAAAAACES" +
    "A0AgAP0ABAAhDCAM/YcBIQ0gDP2IASEOIA8gDSAL/QAEAP26ASAOIAv9AAQQ/boB/a4B/a4BIQ8gECANIAv9AAQg/boBIA4g" +
    "C/0ABDD9ugH9rgH9rgEhECARIA0gC/0ABED9ugEgDiAL/QAEUP26Af2uAf2uASERIBIgDSAL/QAEYP26ASAOIAv9AARw/boB" +
    "/a4B/a4BIRIgAEEQaiEAIAtBgAFqIQsgACAKSQ0ACyAEIA8QADYCACAHIBAQADYCACAIIBEQADYCACAJIBIQADYCACAEQQRq" +
    "IQQgB0EEaiEHIAhBBGohCCAJQQRqIQkMAAsLC88BAgF/BXsgACACQQJ0aiEDA0AgAP0ABAAhBCAFIAT9XyAB/QAEAP3yAf3w" +
    "ASEFIAYgBCAE/Q0ICQoLDA0ODwABAgMEBQYH/V8gAf0ABBD98gH98AEhBiAA/QAEECEEIAcgBP1fIAH9AAQg/fIB/fABIQcg" +
    "CCAEIAT9DQgJCgsMDQ4PAAECAwQFBgf9XyAB/QAEMP3yAf3wASEIIABBIGohACABQcAAaiEBIAAgA0kNAAsgBSAG/fABIAcg" +
    "CP3wAf3wASEFIAX9IQAgBf0hAaAL",
);

/** Addresses are bytes of `memory`; lengths are in components, multiples of 16. */
export interface DotProduct {
  readonly memory: WasmMemory;
  /**
   * Of so many rows of 8-bit numbers, one after the other, with one vector of 16-bit numbers: 32-bit
   * numbers at `out`.
   */
  dots(row: number, rows: number, vector: number, length: number, out: number): void;
  /**
   * The same with four vectors, whose components alternate by 16: the numbers of the first stand at
   * `out`, those of each other one `apart` bytes further on.
   */
  dotsOfFour(
    row: number,
    rows: number,
    vectors: number,
    length: number,
    out: number,
    apart: number,
  ): void;
  /** Of one row with a vector of 16-bit numbers. */
  dot(row: number, vector: number, length: number): number;
  /** Of a row of 32-bit floats with a vector of 64-bit floats. Equal rows have equal products. */
  product(row: number, vector: number, length: number): number;
}

export function dotProduct(): DotProduct {
  return dotProductProgram.start() as DotProduct;
}
