import { expect, test } from "vitest";
import { decodeStoredText, parseMetadata } from "./stored-text.ts";

test("a wrapped text is decoded, lone surrogates replaced one by one", () => {
  // "a\ud800b 😀" as Python encodes it with surrogatepass.
  const bytes = Buffer.concat([
    Buffer.from("a"),
    Buffer.from([0xed, 0xa0, 0x80]),
    Buffer.from("b 😀"),
  ]);
  expect(decodeStoredText(`__SB64__${bytes.toString("base64")}`)).toBe("a\ufffdb 😀");
});

test("letters of Hangul begin with the same byte and stay", () => {
  const base64 = Buffer.from("한글 ퟿").toString("base64");
  expect(decodeStoredText(`__SB64__${base64}`)).toBe("한글 ퟿");
});

test.each(["plain", "__SB64__not base64!", "__SB64__", "__SB64__abc"])("%s stays", (text) => {
  expect(decodeStoredText(text)).toBe(text);
});

test.each([
  ["", {}],
  ["null", {}],
  ['{"a":1}', { a: 1 }],
  ['"{\\"a\\":1}"', { a: 1 }],
  ["[1,2]", { value: [1, 2] }],
  ['"note"', { value: "note" }],
  ["{broken", { unparsed_text: "{broken" }],
  ['{"a": NaN}', { unparsed_text: '{"a": NaN}' }],
])("metadata %s", (stored, parsed) => {
  expect(parseMetadata(stored)).toEqual(parsed);
});
