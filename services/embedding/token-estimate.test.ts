import { describe, expect, it } from "vitest";
import { fitTokens, shorten } from "./token-estimate.ts";

describe("fitTokens", () => {
  it("leaves alone what fits", () => {
    expect(fitTokens("one two three", 3)).toBe("one two three");
    expect(fitTokens("short", 100)).toBe("short");
  });

  it("counts long words, numbers and other scripts as several tokens", () => {
    expect(fitTokens("configuration done", 3)).toBe("configuration");
    expect(fitTokens("123456 more", 2)).toBe("123456");
    expect(fitTokens("日本語", 2)).toBe("日本");
  });
});

describe("shorten", () => {
  it("never cuts a character in two", () => {
    expect(shorten("ab🚀", 0.75)).toBe("ab");
    expect(shorten("abcd", 0.75)).toBe("abc");
  });
});
