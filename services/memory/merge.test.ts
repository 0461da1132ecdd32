import { describe, expect, it } from "vitest";
import { mergeHits } from "./merge.ts";
import type { Hit } from "./ports.ts";

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
const postgresql = (...hits: Hit[]) => ({ source: "postgresql" as const, hits });
const sessionBuddy = (...hits: Hit[]) => ({ source: "session_buddy" as const, hits });
const all = { limit: 100, minScore: 0 };
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
      { id: "b", source: "session_buddy", foundIn: ["session_buddy", "postgresql"], score: 0.6 },
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
        score: 0.6,
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

  it("applies limit and least score after folding", () => {
    const hits = [hit("a", 0.9, "same"), hit("b", 0.8, "same"), hit("c", 0.7), hit("d", 0.2)];
    const merged = mergeHits([postgresql(...hits)], { limit: 2, minScore: 0.3 });
    expect(ids(merged)).toEqual(["a", "c"]);
    expect(ids(mergeHits([postgresql(...hits)], { limit: 9, minScore: 0.3 }))).toEqual(["a", "c"]);
  });

  it("of nothing is nothing", () => {
    expect(mergeHits([], all)).toEqual([]);
  });
});
