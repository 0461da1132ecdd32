import { WasmProgram, wasmMemory, wasmPageBytes } from "../../shared/web-assembly.ts";

/**
 * Products of vectors by the processor's vector unit, which JavaScript does not reach: a small
 * WebAssembly function over one memory that holds all rows. About ten times as fast as a loop.
 */
export interface RowMemory {
  /** Components of a row with its padding, which is zeros. */
  readonly stride: number;
  /** Writes a row; the memory grows where it must. */
  write(row: number, values: Float32Array): void;
  /** Sets the vector that rows are multiplied with. */
  setQuery(values: Float32Array): void;
  /** The product of a row and the query, in single precision. */
  dot(row: number): number;
}

/** One turn of the loop multiplies so many components. */
const perTurn = 16;
/** The memory grows by so many rows at once. */
const growRows = 1_024;

/** `simd-dot.wat`, compiled. */
export const dotProgram = new WasmProgram(
  "AGFzbQEAAAABCAFgA39/fwF9AggBAW0BbQIAAQMCAQAHBwEDZG90AAAKowEBoAEBBHsDQCADIAD9AAQAIAH9AAQA/eYB/eQB" +
    "IQMgBCAA/QAEECAB/QAEEP3mAf3kASEEIAUgAP0ABCAgAf0ABCD95gH95AEhBSAGIAD9AAQwIAH9AAQw/eYB/eQBIQYgAEHA" +
    "AGohACABQcAAaiEBIAAgAkkNAAsgAyAE/eQBIAUgBv3kAf3kASEDIAP9HwAgA/0fAZIgA/0fAiAD/R8DkpIL",
);

/** Rows of so many components; the query stands before the first one. */
export function rowMemory(dimension: number): RowMemory {
  const stride = Math.max(perTurn, Math.ceil(dimension / perTurn) * perTurn);
  const bytes = stride * Float32Array.BYTES_PER_ELEMENT;
  const memory = wasmMemory(Math.ceil(bytes / wasmPageBytes));
  const { dot } = dotProgram.start({ m: { m: memory } }) as {
    dot: (a: number, b: number, end: number) => number;
  };
  // Growing takes the old view away.
  let floats = new Float32Array(memory.buffer);
  return {
    stride,
    write(row, values) {
      const offset = (row + 1) * stride;
      if (offset + stride > floats.length) {
        memory.grow(Math.ceil((growRows * bytes) / wasmPageBytes));
        floats = new Float32Array(memory.buffer);
      }
      floats.set(values, offset);
    },
    setQuery(values) {
      floats.set(values, 0);
    },
    dot: (row) => dot(0, (row + 1) * bytes, bytes),
  };
}
