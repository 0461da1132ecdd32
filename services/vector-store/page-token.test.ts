import { expect, test } from "vitest";
import { InvalidRequestError } from "../../shared/errors.ts";
import { decodePageToken, encodePageToken, fingerprint } from "./page-token.ts";

test("a token leads on after its page, for the same question only", () => {
  const question = fingerprint({ filter: { b: 1n, a: [1, 2] } });
  const token = encodePageToken({ question, after: "é/'1" });
  expect(token).not.toContain("1'");
  expect(decodePageToken(token, question)).toBe("é/'1");
  expect(decodePageToken("", question)).toBeUndefined();
  expect(fingerprint({ filter: { a: [1, 2], b: 1n } })).toBe(question);
  expect(fingerprint({ filter: { a: [2, 1], b: 1n } })).not.toBe(question);
  expect(() => decodePageToken(token, fingerprint("other"))).toThrow(InvalidRequestError);
});

test.each(["x", "bm90IGpzb24", Buffer.from("[1]").toString("base64url"), "'; drop table"])(
  "%s is no token",
  (token) => {
    expect(() => decodePageToken(token, fingerprint("q"))).toThrow(/page_token/);
  },
);

test("a token with NUL in its key is refused", () => {
  const question = fingerprint("q");
  const token = encodePageToken({ question, after: "a\0" });
  expect(() => decodePageToken(token, question)).toThrow(/page_token/);
});
