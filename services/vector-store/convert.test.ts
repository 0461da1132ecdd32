import { expect, test } from "vitest";
import { collectionMessage } from "./convert.ts";
import { instantNow } from "./instant.ts";

test("a collection is told with each figure in its own place", () => {
  const message = collectionMessage(
    {
      name: "c",
      dimension: 3,
      distance: "cosine",
      embeddingModel: "m",
      index: { kind: "ivfflat", m: undefined, efConstruction: undefined, lists: 7 },
      textLanguage: "german",
      createTime: instantNow(),
    },
    11n,
    { rows: 12n, deadRows: 13n, tableBytes: 14n, indexBytes: 15n, pgvectorVersion: "0.8.4" },
  );
  expect(message).toMatchObject({
    documentCount: 11n,
    index: { lists: 7, sizeBytes: 15n },
    statistics: {
      rowEstimate: 12n,
      deadRowEstimate: 13n,
      tableBytes: 14n,
      pgvectorVersion: "0.8.4",
    },
  });
});
