import { describe, expect, it } from "vitest";
import { mergeHits } from "./merge.ts";
import type { Hit } from "./ports.ts";
import { scoreHits } from "./scoring.ts";
import type { Source } from "./sources.ts";

const hit = (id: string, score: number, content = `content of ${id}`): Hit => ({
  id,
  content,
  score,
  vectorScore: undefined,
  textScore: undefined,
  memoryType: "agent",
  sourceSystem: "test",
  agentId: "",
  workflowId: "",
  repoId: "",
  metadata: {},
  createTime: undefined,
});
const plainly = {
  neighbours: new Map(),
  pool: 100,
  period: undefined,
  halfLifeMs: undefined,
  now: 0,
};
const from = (source: Source, hits: Hit[]) => ({ source, hits: scoreHits(source, hits, plainly) });
const postgresql = (...hits: Hit[]) => from("postgresql", hits);
const sessionBuddy = (...hits: Hit[]) => from("session_buddy", hits);
const all = { minScore: 0 };
const ids = (found: readonly Hit[]) => found.map(({ id }) => id);

describe("merging", () => {
  it("ranks both sources by score, equal ones by id", () => {
    const merged = mergeHits(
      [postgresql(hit("c", 0.5), hit("a", 0.9)), sessionBuddy(hit("b", 0.5), hit("d", 0.7))],
      all,
    );
    expect(ids(merged)).toEqual(["a", "d", "b", "c"]);
    expect(merged.map(({ source }) => source)).toEqual([
      "postgresql",
      "session_buddy",
      "session_buddy",
      "postgresql",
    ]);
  });

  it("folds the same text into the better hit and names both sources, that one first", () => {
    const merged = mergeHits(
      [
        postgresql(hit("a", 0.5, "Use  binary\nunnest.")),
        sessionBuddy(hit("b", 0.6, "Use binary unnest. ")),
      ],
      all,
    );
    expect(merged).toMatchObject([
      {
        id: "b",
        source: "session_buddy",
        foundIn: ["session_buddy", "postgresql"],
        score: Math.fround(0.6),
      },
    ]);
  });

  it("shows an insight where it is at home, with the best score and our id", () => {
    const ours = { ...hit("a", 0.6, "Use unnest."), memoryType: "insight" as const };
    const theirs = { ...hit("b", 0.5, "Use unnest."), memoryType: "insight" as const };
    expect(mergeHits([postgresql(ours), sessionBuddy(theirs)], all)).toMatchObject([
      {
        id: "b",
        source: "session_buddy",
        foundIn: ["session_buddy", "postgresql"],
        score: Math.fround(0.6),
        memoryId: "a",
      },
    ]);
  });

  it("folds the same text of one source too", () => {
    const merged = mergeHits([postgresql(hit("a", 0.5, "same"), hit("b", 0.4, "same"))], all);
    expect(merged).toMatchObject([{ id: "a", foundIn: ["postgresql"] }]);
  });

  it("keeps texts apart that differ in case or punctuation", () => {
    const merged = mergeHits([postgresql(hit("a", 0.5, "a < b"), hit("b", 0.4, "a > b"))], all);
    expect(ids(merged)).toEqual(["a", "b"]);
  });

  it("prefers our own hit where score and id are equal", () => {
    const merged = mergeHits([sessionBuddy(hit("a", 0.5)), postgresql(hit("a", 0.5))], all);
    expect(merged).toMatchObject([{ source: "postgresql" }]);
  });

  it("applies the least score after folding", () => {
    const hits = [hit("a", 0.9, "same"), hit("b", 0.8, "same"), hit("c", 0.7), hit("d", 0.2)];
    expect(ids(mergeHits([postgresql(...hits)], { minScore: 0.3 }))).toEqual(["a", "c"]);
  });

  const long =
    "When the pool of connections runs dry the callers wait in a queue, and after five seconds each of them is told that the database is overloaded and should be asked again.";

  it("folds nearly the same text of two sources, and names both", () => {
    const merged = mergeHits(
      [
        postgresql(hit("a", 0.6, long)),
        sessionBuddy(hit("b", 0.5, `${long.replaceAll(",", ";").toUpperCase()} Really.`)),
      ],
      all,
    );
    expect(merged).toMatchObject([
      { id: "a", foundIn: ["postgresql", "session_buddy"], memoryId: "a", folded: [{}, {}] },
    ]);
  });

  it("keeps nearly the same text of one source apart", () => {
    const merged = mergeHits([postgresql(hit("a", 0.6, long), hit("b", 0.5, `${long} So.`))], all);
    expect(ids(merged)).toEqual(["a", "b"]);
  });

  it.each([
    ["another number", long.replace("five", "5")],
    ["a negation", long.replace("and should", "and should not")],
    ["an operator", long.replace("runs", "runs <")],
    ["other words", long.replace("callers wait in a queue", "server opens another one at once")],
    ["much more", `${long} ${long} And so on.`],
  ])("keeps two texts apart where one has %s", (_, other) => {
    const merged = mergeHits(
      [postgresql(hit("a", 0.6, long)), sessionBuddy(hit("b", 0.5, other))],
      all,
    );
    expect(ids(merged)).toEqual(["a", "b"]);
  });

  it("keeps short texts apart that differ in one word", () => {
    const merged = mergeHits(
      [postgresql(hit("a", 0.6, "Use green")), sessionBuddy(hit("b", 0.5, "Use blue"))],
      all,
    );
    expect(merged).toHaveLength(2);
  });

  it("of nothing is nothing", () => {
    expect(mergeHits([], all)).toEqual([]);
  });
});
