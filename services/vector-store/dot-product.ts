import { type WasmMemory, WasmProgram } from "../../shared/web-assembly.ts";

/** `dot-product.wat`, compiled: it multiplies 16 numbers at once. */
export const dotProductProgram = new WasmProgram(
  "AGFzbQEAAAABHARgAXsBf2ADf39/AX9gBX9/f39/AGADf39/AXwDBgUAAQICAwUDAQABBygEBm1lbW9yeQIABGRvdHMAAg" +
    "pkb3RzT2ZGb3VyAAMHcHJvZHVjdAAECtwFBRkAIAD9GwAgAP0bAWogAP0bAiAA/RsDamoLYAIBfwN7IAAgAmohAwNAIAD9" +
    "AAQAIQQgBSAE/YcBIAH9AAQA/boB/a4BIQUgBiAE/YgBIAH9AAQQ/boB/a4BIQYgAEEQaiEAIAFBIGohASAAIANJDQALIA" +
    "UgBv2uARAACzgBAX8gBCABQQJ0aiEFAkADQCAEIAVPDQEgBCAAIAIgAxABNgIAIAAgA2ohACAEQQRqIQQMAAsLC9QCAgN/" +
    "B3sgBCABQQR0aiEFAkADQCAEIAVPDQEgACADaiEGIAIhB/0MAAAAAAAAAAAAAAAAAAAAACEL/QwAAAAAAAAAAAAAAAAAAA" +
    "AAIQz9DAAAAAAAAAAAAAAAAAAAAAAhDf0MAAAAAAAAAAAAAAAAAAAAACEOA0AgAP0ABAAhCCAI/YcBIQkgCP2IASEKIAsg" +
    "CSAH/QAEAP26ASAKIAf9AAQQ/boB/a4B/a4BIQsgDCAJIAf9AAQg/boBIAogB/0ABDD9ugH9rgH9rgEhDCANIAkgB/0ABE" +
    "D9ugEgCiAH/QAEUP26Af2uAf2uASENIA4gCSAH/QAEYP26ASAKIAf9AARw/boB/a4B/a4BIQ4gAEEQaiEAIAdBgAFqIQcg" +
    "ACAGSQ0ACyAEIAsQADYCACAEIAwQADYCBCAEIA0QADYCCCAEIA4QADYCDCAEQRBqIQQMAAsLC88BAgF/BXsgACACQQJ0ai" +
    "EDA0AgAP0ABAAhBCAFIAT9XyAB/QAEAP3yAf3wASEFIAYgBCAE/Q0ICQoLDA0ODwABAgMEBQYH/V8gAf0ABBD98gH98AEh" +
    "BiAA/QAEECEEIAcgBP1fIAH9AAQg/fIB/fABIQcgCCAEIAT9DQgJCgsMDQ4PAAECAwQFBgf9XyAB/QAEMP3yAf3wASEIIA" +
    "BBIGohACABQcAAaiEBIAAgA0kNAAsgBSAG/fABIAcgCP3wAf3wASEFIAX9IQAgBf0hAaAL",
);

/** Addresses are bytes of `memory`; lengths are in components, multiples of 16. */
export interface DotProduct {
  readonly memory: WasmMemory;
  /**
   * Of so many rows of 8-bit numbers, one after the other, with one vector of 16-bit numbers: 32-bit
   * numbers at `out`.
   */
  dots(row: number, rows: number, vector: number, length: number, out: number): void;
  /** The same with four vectors, whose components alternate by 16; so do the numbers, by row. */
  dotsOfFour(row: number, rows: number, vectors: number, length: number, out: number): void;
  /** Of a row of 32-bit floats with a vector of 64-bit floats. Equal rows have equal products. */
  product(row: number, vector: number, length: number): number;
}

export function dotProduct(): DotProduct {
  return dotProductProgram.start() as DotProduct;
}
