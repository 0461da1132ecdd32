import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { decodeVector, encodeVector, encodeVectorArray, largestDimension } from "./vector-codec.ts";

const vectors = fc.float32Array({
  minLength: 1,
  maxLength: 2_000,
  noNaN: true,
  noDefaultInfinity: true,
});

describe("a vector", () => {
  test("comes back as it went, in binary and in text", () => {
    fc.assert(
      fc.property(vectors, (vector) => {
        expect(decodeVector(encodeVector(vector))).toEqual(vector);
        const text = `[${[...vector].map((x) => (Object.is(x, -0) ? "-0" : x)).join(",")}]`;
        expect(decodeVector(text)).toEqual(vector);
      }),
    );
  });

  test("is rounded to 32 bits", () => {
    expect(decodeVector(encodeVector([0.1, 1 / 3]))).toEqual(new Float32Array([0.1, 1 / 3]));
  });

  test("has pgvector's layout", () => {
    expect(encodeVector([1, -2]).toString("hex")).toBe("000200003f800000c0000000");
  });

  test.each([
    ["NaN", [1, Number.NaN]],
    ["infinite", [1, Number.NEGATIVE_INFINITY]],
    ["too large for 32 bits", [1, 3.5e38]],
    ["missing", [1, undefined as unknown as number]],
  ])("is refused when a component is %s", (_, vector) => {
    expect(() => encodeVector(vector)).toThrow(
      new RangeError("component 1 is not a finite number"),
    );
    expect(() => encodeVectorArray([[1], vector], 1)).toThrow(RangeError);
  });

  test("is refused without dimensions, and with too many", () => {
    expect(() => encodeVector([])).toThrow("not 0");
    expect(() => encodeVector(new Float32Array(largestDimension + 1))).toThrow("not 16001");
    expect(encodeVector(new Float32Array(largestDimension))).toHaveLength(4 + 4 * 16_000);
  });

  test.each(["", "1,2", "[]", "[1,]", "[1,x]", "[1,Infinity]"])("is not read from %j", (text) => {
    expect(() => decodeVector(text)).toThrow(RangeError);
  });

  test.each([0, 3, 4, 7])("is not read from %i bytes that do not fit", (size) => {
    const bytes = Buffer.alloc(size);
    if (size >= 2) bytes.writeInt16BE(2, 0);
    expect(() => decodeVector(bytes)).toThrow(RangeError);
  });

  test("is read from bytes that begin anywhere", () => {
    const bytes = Buffer.concat([Buffer.from([9]), encodeVector([1.5, 2.5])]).subarray(1);
    expect(decodeVector(new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength))).toEqual(
      new Float32Array([1.5, 2.5]),
    );
  });
});

describe("an array of vectors", () => {
  test("has PostgreSQL's layout and as many bytes as that takes", () => {
    const oid = 16_397;
    fc.assert(
      fc.property(fc.array(fc.option(vectors), { minLength: 1, maxLength: 5 }), (items) => {
        const bytes = encodeVectorArray(items, oid);
        const words = [0, 4, 8, 12, 16].map((at) => bytes.readInt32BE(at));
        expect(words).toEqual([1, items.includes(null) ? 1 : 0, oid, items.length, 1]);
        let at = 20;
        for (const item of items) {
          const size = bytes.readInt32BE(at);
          at += 4;
          if (item === null) expect(size).toBe(-1);
          else expect(decodeVector(bytes.subarray(at, at + size))).toEqual(item);
          at += Math.max(size, 0);
        }
        expect(at).toBe(bytes.length);
      }),
      { numRuns: 30 },
    );
  });

  test("without elements has no dimension", () => {
    expect(encodeVectorArray([], 5).toString("hex")).toBe("000000000000000000000005");
  });
});
