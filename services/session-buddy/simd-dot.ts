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

/** As far as it is used here; its types come with those of browsers only. */
declare const WebAssembly: {
  readonly Memory: new (size: {
    readonly initial: number;
  }) => { readonly buffer: ArrayBuffer; grow(pages: number): number };
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (module: object, imports: object) => { readonly exports: unknown };
};

const bytesPerPage = 65_536;
/** One turn of the loop multiplies so many components. */
const perTurn = 16;
/** The memory grows by so many rows at once. */
const growRows = 1_024;

/** Rows of so many components; the query stands before the first one. */
export function rowMemory(dimension: number): RowMemory {
  const stride = Math.max(perTurn, Math.ceil(dimension / perTurn) * perTurn);
  const bytes = stride * Float32Array.BYTES_PER_ELEMENT;
  const memory = new WebAssembly.Memory({ initial: Math.ceil(bytes / bytesPerPage) });
  const { dot } = new WebAssembly.Instance(program(), { m: { m: memory } }).exports as {
    dot: (a: number, b: number, end: number) => number;
  };
  // Growing takes the old view away.
  let floats = new Float32Array(memory.buffer);
  return {
    stride,
    write(row, values) {
      const offset = (row + 1) * stride;
      if (offset + stride > floats.length) {
        memory.grow(Math.ceil((growRows * bytes) / bytesPerPage));
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

let compiled: object | undefined;

function program(): object {
  compiled ??= new WebAssembly.Module(new Uint8Array(moduleBytes()));
  return compiled;
}

/** `f32 dot(i32 a, i32 b, i32 end)`: from `a` to `end`, four sums of four components side by side. */
function moduleBytes(): number[] {
  const [a, b, end] = [0, 1, 2];
  const sums = [3, 4, 5, 6];
  const [f32, i32, v128] = [0x7d, 0x7f, 0x7b];
  const get = (local: number) => [0x20, local];
  const set = (local: number) => [0x21, local];
  const load = (local: number, offset: number) => [...get(local), 0xfd, 0x00, 4, offset];
  // f32x4.add is 0xe4 and f32x4.mul 0xe6, in two bytes as numbers above 127 are.
  const add = [0xfd, 0xe4, 0x01];
  const mul = [0xfd, 0xe6, 0x01];
  const lane = (at: number) => [0xfd, 0x1f, at];
  const advance = (local: number) => [...get(local), 0x41, 0xc0, 0x00, 0x6a, ...set(local)];
  const sum = sums[0] as number;
  const code = [
    ...[0x03, 0x40], // loop
    ...sums.flatMap((one, at) => [
      ...get(one),
      ...[...load(a, at * 16), ...load(b, at * 16), ...mul, ...add],
      ...set(one),
    ]),
    ...[...advance(a), ...advance(b)],
    ...[...get(a), ...get(end), 0x49, 0x0d, 0], // br_if a < end
    0x0b,
    ...[...get(3), ...get(4), ...add, ...get(5), ...get(6), ...add, ...add, ...set(sum)],
    ...[...get(sum), ...lane(0), ...get(sum), ...lane(1), 0x92],
    ...[...get(sum), ...lane(2), ...get(sum), ...lane(3), 0x92],
    0x92, // f32.add
    0x0b,
  ];
  const body = [1, sums.length, v128, ...code];
  const name = (text: string) => [text.length, ...Buffer.from(text)];
  const section = (id: number, content: readonly number[]) => [
    id,
    ...leb(content.length),
    ...content,
  ];
  return [
    ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, [1, 0x60, 3, i32, i32, i32, 1, f32]),
    ...section(2, [1, ...name("m"), ...name("m"), 2, 0, 1]),
    ...section(3, [1, 0]),
    ...section(7, [1, ...name("dot"), 0, 0]),
    ...section(10, [1, ...leb(body.length), ...body]),
  ];
}

/** A number as WebAssembly writes lengths: seven bits a byte. */
function leb(value: number): number[] {
  return value < 128 ? [value] : [(value & 127) | 128, ...leb(value >>> 7)];
}
