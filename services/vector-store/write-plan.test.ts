import { expect, test } from "vitest";
import type { NewDocument } from "./document.ts";
import { contentKey, type ExistingDocument, planWrite } from "./write-plan.ts";

function planned(content: string, given: Partial<NewDocument> = {}, position = 0) {
  const document: NewDocument = {
    id: given.id ?? `new-${content}`,
    idGiven: given.id !== undefined,
    content,
    vector: undefined,
    memoryType: "rag",
    sourceSystem: "test",
    agentId: undefined,
    workflowId: undefined,
    repoId: undefined,
    metadata: "{}",
    contentHash: content,
    dedupScope: "owner:",
    createTime: undefined,
    expireTime: undefined,
    ...given,
  };
  return { position, document, key: contentKey(document) };
}

function existing(id: string, content: string, given: Partial<ExistingDocument> = {}) {
  const key = contentKey({ contentHash: content, memoryType: "rag", dedupScope: "owner:" });
  return { id, key, hasVector: true, expireTime: undefined, expired: false, ...given };
}

const ids = (list: readonly { document: NewDocument }[]) => list.map((one) => one.document.id);

test("what is new is inserted, what is there is updated or de-duplicated", () => {
  const plan = planWrite(
    [planned("x"), planned("b", { id: "a" }, 1), planned("c", {}, 2)],
    [existing("a", "a"), existing("c", "c")],
  );
  expect(ids(plan.inserts)).toEqual(["new-x"]);
  expect(plan.updateWaves.map(ids)).toEqual([["a"]]);
  expect(plan.deduplications).toMatchObject([{ id: "c", takesVector: false, takesExpiry: false }]);
});

test("updates that pass a content on stand in waves", () => {
  const plan = planWrite(
    [planned("new", { id: "c" }), planned("c", { id: "b" }, 1), planned("b", { id: "a" }, 2)],
    [existing("a", "a"), existing("b", "b"), existing("c", "c")],
  );
  expect(plan.updateWaves.map(ids)).toEqual([["c"], ["b"], ["a"]]);
  expect(plan.refusals).toEqual([]);
});

test("a swap of contents is refused for the first, and so for the second", () => {
  const plan = planWrite(
    [planned("b", { id: "a" }, 4), planned("a", { id: "b" }, 7)],
    [existing("a", "a"), existing("b", "b")],
  );
  expect(plan.refusals).toEqual([
    { position: 4, id: "b" },
    { position: 7, id: "a" },
  ]);
});

test("no content counts as stored by a document that the same request changes", () => {
  const documents = [planned("a"), planned("other", { id: "a" }, 1)];
  const plan = planWrite(documents, [existing("a", "a")]);
  expect(ids(plan.inserts)).toEqual(["new-a"]);
  expect(plan.deduplications).toEqual([]);
});

test("repeats of an insert, or of an update, are planned again", () => {
  const plan = planWrite(
    [planned("x"), planned("x", { id: "y" }, 1), planned("z", { id: "a" }, 2), planned("z", {}, 3)],
    [existing("a", "a")],
  );
  expect(ids(plan.inserts)).toEqual(["new-x"]);
  expect(plan.later.map((one) => one.position)).toEqual([1, 3]);
});

test("expired documents are removed and hold nothing", () => {
  const plan = planWrite(
    [planned("a"), planned("new", { id: "b" }, 1)],
    [existing("a", "a", { expired: true }), existing("b", "b", { expired: true })],
  );
  expect(plan.removals).toEqual(["a", "b"]);
  expect(ids(plan.inserts)).toEqual(["new-a", "b"]);
});

test("of several duplicates one brings the vector, and the longest life counts", () => {
  const vector = [1];
  const plan = planWrite(
    [
      planned("a", { vector, expireTime: 5n }),
      planned("a", { vector, expireTime: 20n }, 1),
      planned("a", { expireTime: 15n }, 2),
    ],
    [existing("a", "a", { hasVector: false, expireTime: 10n })],
  );
  expect(plan.deduplications.map((one) => [one.takesVector, one.takesExpiry])).toEqual([
    [true, false],
    [false, true],
    [false, false],
  ]);
});
