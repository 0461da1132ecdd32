import { describe, expect, it } from "vitest";
import { fingerprintOf, nearlyEqual } from "./near-duplicates.ts";
import { mayBeNearlyEqual, wordSketchOf } from "./word-sketch.ts";

let state = 7;
function random(): number {
  state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
  return state / 2 ** 32;
}
const pick = <T>(items: readonly T[]) => items[Math.floor(random() * items.length)] as T;
const separators = [" ", "  ", "\n", ", ", " - ", ". "];
/** Few words make texts that repeat themselves, which is where sets of runs are smallest. */
const vocabularies = [4, 12, 60, 2_000].map((size) =>
  Array.from(
    { length: size },
    (_, n) => `${pick(["w", "it's ", "snake_", "Über"])}${n.toString(36)}`,
  ),
);

/** A text and another one with some words changed, dropped or put in. */
function pair(): [string, string] {
  const vocabulary = pick(vocabularies);
  const words = Array.from({ length: 8 + Math.floor(random() * 200) }, () => pick(vocabulary));
  const rate = random() * 0.12;
  const others = words.flatMap((word) => {
    if (random() >= rate) return [word];
    return pick([[], [pick(vocabulary)], [word, pick(vocabulary)]]);
  });
  const text = (all: readonly string[]) => all.map((word) => word + pick(separators)).join("");
  return [text(words), text(others)];
}

describe("a sketch of words", () => {
  it("rules out no texts that are nearly equal", () => {
    let near = 0;
    for (let n = 0; n < 4_000; n++) {
      const [a, b] = pair();
      if (!nearlyEqual(fingerprintOf(a), fingerprintOf(b))) continue;
      near++;
      expect(mayBeNearlyEqual(wordSketchOf(a), wordSketchOf(b)), `${a}\n${b}`).toBe(true);
    }
    expect(near).toBeGreaterThan(400);
  });

  it("rules out nearly all that are not", () => {
    const prose = () =>
      Array.from({ length: 60 }, () => `w${Math.floor(random() ** 3 * 5_000)}`).join(" ");
    let through = 0;
    for (let n = 0; n < 1_000; n++) {
      if (mayBeNearlyEqual(wordSketchOf(prose()), wordSketchOf(prose()))) through++;
    }
    expect(through).toBeLessThan(10);
  });

  it("of other scripts is empty and rules nothing out", () => {
    const [a, b] = ["Резервные копии делаются ночью", "備份在夜間進行"].map(wordSketchOf);
    expect(a && b && mayBeNearlyEqual(a, b)).toBe(true);
    expect(a?.words).toBe(0);
  });

  it("does not tell upper from lower case", () => {
    expect(wordSketchOf("Run The BACKUP")).toEqual(wordSketchOf("run the backup"));
  });
});
