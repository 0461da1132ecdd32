import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { countTokens } from "gpt-tokenizer/encoding/cl100k_base";
import { describe, expect, it } from "vitest";
import { WordTokens } from "./word-tokens.ts";

const plain = { disallowedSpecial: new Set<string>() };
const tokens = new WordTokens();

describe("WordTokens", () => {
  it("counts what the tokenizer counts, of real files", () => {
    const root = resolve(import.meta.dirname, "../..");
    const names = readdirSync(root, { recursive: true, encoding: "utf8" }).filter(
      (name) => /\.(ts|md|sql|proto|yaml)$/.test(name) && !name.startsWith("node_modules"),
    );
    expect(names.length).toBeGreaterThan(300);
    for (const name of names) {
      const text = readFileSync(join(root, name), "utf8");
      for (let at = 0; at < text.length; at += 2_048) {
        const part = text.slice(at, at + 2_048);
        expect(tokens.count(part), name).toBe(countTokens(part, plain));
      }
    }
  }, 60_000);

  it("counts what the tokenizer counts, of any characters beside each other", () => {
    const alphabet = [
      ..."aZsSdmtTlLvVeErR019 '\"\t\r\n\v\f.,;(){}<|>_-=\u0000\u007f",
      ..."\u00a0\u0085\u2028\u3000\ufeffé\u0301ßſ漢字ñΩ٣½Ⅷ😀👩\u200d\ud800\udc00İ",
      "'ll",
      "'VE",
      "<|endoftext|>",
      "  ",
      "\r\n",
    ];
    let state = 7;
    const next = (bound: number) => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      return Math.floor((state / 2 ** 32) * bound);
    };
    for (let round = 0; round < 30_000; round++) {
      const of = 1 + next(alphabet.length);
      let text = "";
      for (let n = next(14); n >= 0; n--) text += alphabet[next(of)] ?? "";
      expect(tokens.count(text), JSON.stringify(text)).toBe(countTokens(text, plain));
    }
  }, 60_000);

  it("goes on counting when it has forgotten its words", () => {
    const few = new WordTokens();
    const words = Array.from({ length: 40_000 }, (_, n) => ` w${n.toString(36)}x`);
    for (const text of [...words, ...words.slice(0, 100)]) {
      expect(few.count(text)).toBe(countTokens(text, plain));
    }
  }, 60_000);
});
