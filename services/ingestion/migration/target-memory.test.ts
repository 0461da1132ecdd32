import { describe, expect, it } from "vitest";
import type { SourceRecord } from "./source-record.ts";
import { toMemory } from "./target-memory.ts";

const plain: SourceRecord = {
  id: "r1",
  kind: "reflection",
  era: "A",
  content: "A note.",
  tags: [],
  project: "",
  collection: "",
  insightType: "",
  confidence: undefined,
  metadata: {},
  createMicros: undefined,
  updateMicros: undefined,
  folded: [],
};
const idOf = (more: Partial<SourceRecord>) => toMemory({ ...plain, ...more }, "m").id;

describe("identity", () => {
  it("follows from what the record says, and not from where it stands", () => {
    expect(idOf({ id: "other", era: "F", tags: ["t"], collection: "c" })).toBe(idOf({}));
    expect(idOf({ content: "A note!" })).not.toBe(idOf({}));
    expect(idOf({ project: "p" })).not.toBe(idOf({}));
    expect(idOf({ kind: "conversation" })).not.toBe(idOf({}));
  });

  it("of insights takes neither case nor punctuation, white space nor project into account", () => {
    const id = idOf({ kind: "insight", content: "Use it." });
    expect(idOf({ kind: "insight", content: "use\n(it)", project: "p" })).toBe(id);
    expect(idOf({ content: "Use it." })).not.toBe(id);
    // Where nothing is left to compare, the text itself counts.
    expect(idOf({ kind: "insight", content: "..." })).not.toBe(
      idOf({ kind: "insight", content: "!!!" }),
    );
  });
});

describe("an entity of the knowledge graph", () => {
  const entity = (relations: SourceRecord["metadata"][string]) =>
    toMemory(
      { ...plain, kind: "entity", content: "A (service)\nIt runs.", metadata: { relations } },
      "m",
    ).content;

  it("tells its relations", () => {
    expect(
      entity([
        { relation_type: "depends_on", to_name: "B", to_entity: "id-b" },
        { relation_type: "uses", to_name: null, to_entity: "id-c" },
      ]),
    ).toBe("A (service)\nIt runs.\ndepends on B\nuses id-c");
  });

  it.each([
    ["none", undefined],
    ["an empty list", []],
    ["a text", "depends_on B"],
    ["a list of something else", [1, null, "x", {}, { relation_type: 7 }]],
  ])("stands as it is with %s", (_, relations) => {
    expect(entity(relations as never)).toBe("A (service)\nIt runs.");
  });
});

it("takes the time of the last change where there is none of the making", () => {
  expect(toMemory({ ...plain, updateMicros: 7n }, "m").createMicros).toBe(7n);
  expect(toMemory({ ...plain, createMicros: 5n, updateMicros: 7n }, "m").createMicros).toBe(5n);
});

it("does not let the record's own metadata pass for what is known of it", () => {
  const metadata = { era: "Z", origin_id: "other", kind: "x", tags: "none", own: 1 };
  expect(toMemory({ ...plain, metadata, tags: ["t"] }, "m").metadata).toEqual({
    era: "A",
    origin_id: "r1",
    kind: "reflection",
    migration_id: "m",
    tags: ["t"],
    own: 1,
  });
});
