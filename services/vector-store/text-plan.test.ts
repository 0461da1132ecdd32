import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  expectedShare,
  type Requirement,
  requirementFor,
  scoreOfShare,
  type WeightedLexeme,
  weighted,
} from "./text-plan.ts";

const frequencies = fc
  .array(fc.integer({ min: 0, max: 100_000 }), { minLength: 1, maxLength: 14 })
  .map((list) => new Map(list.map((frequency, i) => [`w${i}`, frequency])));
const lexemesOf = frequencies.map((given) => weighted(100_000, given));

function fulfils(requirement: Requirement, held: ReadonlySet<string>): boolean {
  if ("holds" in requirement) return held.has(requirement.holds);
  if ("all" in requirement) return requirement.all.every((one) => fulfils(one, held));
  return requirement.any.some((one) => fulfils(one, held));
}

function partsOf(requirement: Requirement): number {
  if ("holds" in requirement) return 1;
  const parts = "all" in requirement ? requirement.all : requirement.any;
  return parts.reduce((sum, one) => sum + partsOf(one), 1);
}

const shareOf = (lexemes: readonly WeightedLexeme[], held: ReadonlySet<string>) =>
  lexemes.reduce((sum, { lexeme, share }) => sum + (held.has(lexeme) ? share : 0), 0);

describe("the plan of a search by words", () => {
  test("shares make 1, rare words have more of it than common ones", () => {
    fc.assert(
      fc.property(lexemesOf, (lexemes) => {
        const sum = lexemes.reduce((total, { share }) => total + share, 0);
        expect(sum).toBeCloseTo(1, 9);
        const shares = lexemes.map((one) => one.share);
        expect(shares).toEqual(shares.toSorted((a, b) => b - a));
        for (const share of shares) expect(share).toBeGreaterThan(0);
      }),
    );
    const [first, second] = weighted(
      1_000,
      new Map([
        ["common", 2_000],
        ["rare", 3],
      ]),
    );
    expect([first?.lexeme, second?.lexeme]).toEqual(["rare", "common"]);
    expect(second).toMatchObject({ likelihood: 1 });
  });

  test("every document that can reach the score fulfils the requirement", () => {
    let left = 0;
    fc.assert(
      fc.property(
        lexemesOf,
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.infiniteStream(fc.boolean()),
        (lexemes, score, flips) => {
          const held = new Set(lexemes.filter(() => flips.next().value).map((one) => one.lexeme));
          const requirement = requirementFor(lexemes, score);
          const fulfilled = fulfils(requirement, held);
          if (held.size > 0 && shareOf(lexemes, held) >= score) expect(fulfilled).toBe(true);
          // Where all lexemes are told apart, the rule is as sharp as it can be.
          else if (lexemes.length <= 8 && shareOf(lexemes, held) < score - 2e-5) {
            expect(fulfilled).toBe(false);
            left += 1;
          }
          expect(partsOf(requirement)).toBeLessThan(600);
        },
      ),
      { numRuns: 3_000 },
    );
    expect(left).toBeGreaterThan(100);
  });

  test("the rarest of many words decide, the others need not be looked for", () => {
    const many = new Map(Array.from({ length: 3_000 }, (_, i) => [`w${i}`, i * 10]));
    const lexemes = weighted(100_000, many);
    const requirement = requirementFor(lexemes, 0.5);
    expect(partsOf(requirement)).toBeLessThan(3_000);
    expect(fulfils(requirement, new Set(["w2999"]))).toBe(false);
    expect(fulfils(requirement, new Set(many.keys()))).toBe(true);
  });

  test("fewer documents are expected to fulfil more", () => {
    fc.assert(
      fc.property(lexemesOf, fc.double({ min: 0, max: 1, noNaN: true }), (lexemes, share) => {
        const score = scoreOfShare(lexemes, share);
        if (score < 1) expect(expectedShare(lexemes, score)).toBeLessThanOrEqual(share);
        expect(expectedShare(lexemes, score)).toBeLessThanOrEqual(expectedShare(lexemes, 0) + 1e-9);
      }),
    );
    const halves = weighted(
      100,
      new Map([
        ["a", 50],
        ["b", 50],
      ]),
    );
    expect(expectedShare(halves, 0.4)).toBeCloseTo(0.75);
    expect(expectedShare(halves, 0.6)).toBeCloseTo(0.25);
  });
});
