import { expect, test } from "vitest";
import { Catalogue } from "./catalogue.ts";
import { normalise } from "./normalise.ts";
import type { Draft, StoredRecord } from "./record.ts";

const record: StoredRecord = {
  id: "2",
  kind: "insight",
  content: "Always use async pools!",
  tags: [],
  project: "a",
  collection: "default",
  insightType: "pattern",
  confidence: 0.5,
  metadata: '{"mahavishnu": {"request_id": "r", "tenant": "t"}}',
  createMicros: undefined,
  updateMicros: undefined,
  era: "F",
  origins: [],
};
const draft: Draft = {
  kind: "insight",
  content: "always   USE async (pools)",
  tags: [],
  project: "a",
  requestId: "",
  tenant: "t",
  metadata: {},
};

test("the same normalised text of one kind and project is the same record", async () => {
  const catalogue = new Catalogue();
  await catalogue.add([record, { ...record, id: "1" }]);
  expect(catalogue.find(draft)).toEqual({ id: "1", sameText: true });
  expect(catalogue.find({ ...draft, project: "b" })).toBeUndefined();
  expect(catalogue.find({ ...draft, kind: "reflection" })).toBeUndefined();
  expect(catalogue.find({ ...draft, content: "never use async pools" })).toBeUndefined();
});

test("a second tenant's equal text is its own; Session-Buddy's own is everyone's", async () => {
  const catalogue = new Catalogue();
  await catalogue.add([record]);
  expect(catalogue.find({ ...draft, tenant: "u" })).toBeUndefined();
  expect(catalogue.hasOthersThan("t")).toBe(false);
  expect(catalogue.hasOthersThan("u")).toBe(true);
  await catalogue.add([{ ...record, id: "1", metadata: "" }]);
  expect(catalogue.find({ ...draft, tenant: "u" })).toEqual({ id: "1", sameText: true });
  expect(catalogue.find(draft)).toEqual({ id: "2", sameText: true });
});

test("a request id belongs to its tenant and tells when the text is another", async () => {
  const catalogue = new Catalogue();
  await catalogue.add([record]);
  const other = { ...draft, content: "something else", requestId: "r" };
  expect(catalogue.find(other)).toEqual({ id: "2", sameText: false });
  expect(catalogue.find({ ...other, tenant: "u" })).toBeUndefined();
  expect(catalogue.find({ ...draft, requestId: "r" })).toEqual({ id: "2", sameText: true });
});

test("a conversation never answers for an insight", async () => {
  const catalogue = new Catalogue();
  await catalogue.add([{ ...record, kind: "conversation" }]);
  expect(catalogue.find(draft)).toBeUndefined();
});

test("blank contents are not for embedding", async () => {
  const catalogue = new Catalogue();
  await catalogue.add([record, { ...record, id: "3", content: " \n" }]);
  expect([...catalogue.contents.values()]).toEqual([record.content]);
  expect(catalogue.entries).toHaveLength(2);
});

test("normalising follows Session-Buddy's rule, and keeps texts of punctuation apart", () => {
  expect(normalise("  Use `x-y`;\n (always)! ")).toBe("use `xy` always");
  expect(normalise("?!")).not.toBe(normalise("..."));
});
