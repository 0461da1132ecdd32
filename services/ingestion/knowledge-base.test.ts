import { describe, expect, it } from "vitest";
import { DomainError } from "../../shared/errors.ts";
import { KnowledgeBase } from "./knowledge-base.ts";
import type { Embedder, Passage, PassageQuery, PassageStore } from "./ports.ts";
import { successorOf } from "./vector-store-client.ts";

const question = {
  query: "q",
  repoId: "",
  pathPrefix: "",
  language: "",
  topK: 2,
  minScore: 0,
  keepApart: false,
  groupByFile: false,
  passageCharacters: 0,
};

function passage(id: string, contentHash: string): Passage {
  return {
    id,
    content: contentHash,
    contentHash,
    score: 1,
    repoId: "r",
    filePath: `${id}.md`,
    startLine: 1,
    startColumn: 0,
    endLine: 1,
    language: "markdown",
    index: -1,
    section: "",
    commit: "",
    createTime: undefined,
  };
}

/** A store of these passages, best first, whose collection belongs to `model`. */
function setUp(passages: readonly Passage[], model = "m", search?: (query: PassageQuery) => void) {
  const queries: PassageQuery[] = [];
  const unused = () => Promise.reject(new Error("unused"));
  const store: PassageStore = {
    model: async () => model,
    replace: unused,
    delete: unused,
    deleteRepository: unused,
    count: unused,
    search: async (_, query) => {
      queries.push(query);
      search?.(query);
      return passages.slice(0, query.limit);
    },
  };
  const embedder: Embedder = {
    defaultModel: async () => "default",
    embed: async (_, name) =>
      name === "gone"
        ? [{ failure: { kind: "internal", reason: "EMBEDDING_FAILED", message: "no" } }]
        : [{ vector: [1] }],
  };
  const work = { tenant: "t", signal: new AbortController().signal };
  const ask = async () => {
    const answer = await new KnowledgeBase(embedder, store).ask(work, question);
    if (!("passages" in answer)) throw new Error("the answer is by file");
    return answer.passages;
  };
  return { queries, ask };
}

describe("KnowledgeBase", () => {
  it("asks with the collection's model, or the default of an empty collection", async () => {
    const set = setUp([], "m");
    await set.ask();
    expect(set.queries).toMatchObject([{ text: "q", embedding: { model: "m", vector: [1] } }]);
    const empty = setUp([], "");
    await empty.ask();
    expect(empty.queries).toMatchObject([{ embedding: { model: "default" } }]);
  });

  it("looks further where equal passages take the first places", async () => {
    const copies = Array.from({ length: 30 }, (_, n) => passage(`c${n}`, "same"));
    const { ask, queries } = setUp([...copies, passage("z", "other")]);
    expect((await ask()).map(({ id }) => id)).toEqual(["c0", "z"]);
    expect(queries.map(({ limit }) => limit)).toEqual([6, 24, 96]);
  });

  it("asks by words where the question has no vector, or one of another model", async () => {
    const refused = setUp([passage("a", "a")], "gone");
    expect(await refused.ask()).toHaveLength(1);
    expect(refused.queries).toMatchObject([{ embedding: undefined }]);
    const changed = setUp([passage("a", "a")], "m", ({ embedding }) => {
      if (embedding !== undefined) {
        throw new DomainError("failed_precondition", "MODEL_MISMATCH", "another model");
      }
    });
    expect(await changed.ask()).toHaveLength(1);
    expect(changed.queries.at(-1)?.embedding).toBeUndefined();
  });
});

describe("successorOf", () => {
  it.each([
    ["src/", "src0"],
    ["a", "b"],
    ["\u{10ffff}", undefined],
    ["a\u{10ffff}", "b"],
    ["\ud7ff", "\ue000"],
    ["😀", "😁"],
  ])("of %j is %j", (prefix, successor) => {
    expect(successorOf(prefix)).toBe(successor);
  });
});
