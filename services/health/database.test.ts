import { expect, test } from "vitest";
import { judgeDatabase } from "./database.ts";

const facts = {
  serverVersion: "17.5",
  vectorVersion: "0.8.7",
  warning: undefined,
  schema: { upToDate: true, message: "the schema is at revision 4" },
  sizeBytes: 9_000,
};

test("says what answers", () => {
  expect(judgeDatabase(facts)).toEqual({
    status: "healthy",
    message: "PostgreSQL 17.5, pgvector 0.8.7",
    metadata: { version: "17.5", database_bytes: 9_000, pgvector_version: "0.8.7" },
  });
});

test("an old pgvector works, with a warning", () => {
  const old = { ...facts, vectorVersion: "0.8.0", warning: "update it" };
  expect(judgeDatabase(old)).toMatchObject({
    status: "healthy",
    message: "PostgreSQL 17.5, pgvector 0.8.0; update it",
  });
});

test("another schema, or no extension, is of no use", () => {
  const schema = { upToDate: false, message: "run the migrations" };
  expect(judgeDatabase({ ...facts, schema, vectorVersion: undefined })).toEqual({
    status: "unhealthy",
    message: "run the migrations",
    metadata: { version: "17.5", database_bytes: 9_000 },
  });
  expect(judgeDatabase({ ...facts, vectorVersion: undefined })).toMatchObject({
    status: "unhealthy",
    message: "the extension vector is not installed",
  });
});
