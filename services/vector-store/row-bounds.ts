import { type WasmMemory, WasmProgram } from "../../shared/web-assembly.ts";

/** `row-bounds.wat`, compiled: it works on 4 rows at once. */
export const rowBoundsProgram = new WasmProgram(
  "AGFzbQEAAAABMAVgC39/f39/fX19fX19AGAHf399f399fQBgBn9/f31/fwF/YAV/f39/fwBgAXsBfQITAQd2ZWN0b3JzBm1l" +
    "bW9yeQIAAQMGBQABAgMEByYEBmJvdW5kcwAABWNvdW50AAEGZ2F0aGVyAAIIcHJvZHVjdHMAAwq5BgWpAQMBfwJ7AX8gBCAB" +
    "QQJ0aiELIANBAXQhDgJAA0AgBCALTw0BIAL9AAQAIQwgAiADav0ABAAhDSAEIAX9EyAA/QAEAP36ASAG/RP95gEgDP3mAf3k" +
    "ASANIAf9E/3mASAMIAj9E/3mAf3oAf3kASANIAn9E/3mASACIA5q/QAEACAK/RP95gH95AH95AH9CwQAIABBEGohACACQRBq" +
    "IQIgBEEQaiEEDAALCwuQAQQBfwF9AXsCfyAAIAFBAnRqIQcgBEEBa7IhCAJAA0AgACAHTw0BIAD9AAQAIQkgCSAC/RP9Rv2k" +
    "ASEKAkADQCAKRQ0BIAMgACAKaEECdGoqAgAgBZMgBpRDAAAAAJcgCJb8AEECdGohCyALIAsoAgBBAWo2AgAgCiAKQQFrcSEK" +
    "DAALCyAAQRBqIQAMAAsLC7EBAwJ/A3sBfyAEIQcgACABQQJ0aiEGIAUqAgD9EyEKAkADQCAAIAZPDQEgAP0ABAAhCCAIIAP9" +
    "E/1GIQkgCiAKIAggCf1S/esBIQogCf2kASELAkADQCALRQ0BIAQgAiALaGo2AgAgBEEEaiEEIAsgC0EBa3EhCwwACwsgAEEQ" +
    "aiEAIAJBBGohAgwACwsgBSAK/R8AIAr9HwGXIAr9HwIgCv0fA5eXOAIAIAQgB2tBAnYLrAICBH8FeyAEIAFBAnRqIQUgA0EC" +
    "dCEGAkADQCAEIAVPDQH9DAAAAAAAAAAAAAAAAAAAAAAhCv0MAAAAAAAAAAAAAAAAAAAAACEL/QwAAAAAAAAAAAAAAAAAAAAA" +
    "IQz9DAAAAAAAAAAAAAAAAAAAAAAhDUEAIQcDQCACIAdq/QAEACEJIAAgB2ohCCAKIAkgCP0ABAD95gH95AEhCiAIIAZqIQgg" +
    "CyAJIAj9AAQA/eYB/eQBIQsgCCAGaiEIIAwgCSAI/QAEAP3mAf3kASEMIAggBmohCCANIAkgCP0ABAD95gH95AEhDSAHQRBq" +
    "IQcgByAGSQ0ACyAEIAoQBDgCACAEIAsQBDgCBCAEIAwQBDgCCCAEIA0QBDgCDCAEQRBqIQQgCEEQaiEADAALCwsZACAA/R8A" +
    "IAD9HwGSIAD9HwIgAP0fA5KSCw==",
);

/** Addresses are bytes of the memory; numbers of rows are multiples of 4. */
export interface RowBounds {
  /**
   * How large the product of each row with a vector can be at most, a 32-bit float, by the 32-bit
   * products of what both are rounded to: `base + step * product * scale + min(error * ofError, step *
   * ofStep) + error * ofBoth + rest * ofRest`. Of each row the step stands at `facts`, the error
   * `apart` bytes further on, and the rest as much further on, all of them 32-bit floats.
   */
  bounds(
    products: number,
    rows: number,
    facts: number,
    apart: number,
    out: number,
    base: number,
    scale: number,
    ofError: number,
    ofStep: number,
    ofBoth: number,
    ofRest: number,
  ): void;
  /**
   * Counts the 32-bit floats that are at least `floor` into parts of a range that begins at `least` and
   * has `scale` parts for 1; those outside of it go to its ends.
   */
  count(
    values: number,
    rows: number,
    floor: number,
    counts: number,
    parts: number,
    least: number,
    scale: number,
  ): void;
  /**
   * Which 32-bit floats are at least `least`: at `out`, as numbers from `first` on. Returns how many
   * they are. The largest of the others stands at `beyond`, if it is above what stood there.
   */
  gather(
    values: number,
    rows: number,
    first: number,
    least: number,
    out: number,
    beyond: number,
  ): number;
  /** Of rows of 32-bit floats with a vector of such, `length` long, a multiple of 4: at `out`. */
  products(row: number, rows: number, vector: number, length: number, out: number): void;
}

/** They work on this memory. */
export function rowBounds(memory: WasmMemory): RowBounds {
  return rowBoundsProgram.start({ vectors: { memory } }) as RowBounds;
}
