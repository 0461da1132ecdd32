import { expect, test } from "vitest";
import { isBefore, judgeDatabase } from "./database.ts";

const facts = { serverVersion: "17.5", vectorVersion: "0.8.7", sizeBytes: 9_000 };

test("says what answers, and warns of an old pgvector", () => {
  expect(judgeDatabase(facts)).toEqual({
    status: "healthy",
    message: "PostgreSQL 17.5, pgvector 0.8.7",
    metadata: { version: "17.5", database_bytes: 9_000, pgvector_version: "0.8.7" },
  });
  expect(judgeDatabase({ ...facts, vectorVersion: "0.8.0" })).toMatchObject({
    status: "healthy",
    message: "PostgreSQL 17.5, pgvector 0.8.0; update pgvector to 0.8.4 or later",
  });
  expect(judgeDatabase({ ...facts, vectorVersion: undefined }).status).toBe("unhealthy");
});

test("compares versions as numbers", () => {
  expect(isBefore("0.8.3", "0.8.4")).toBe(true);
  expect(isBefore("0.8.4", "0.8.4")).toBe(false);
  expect(isBefore("0.8.10", "0.8.4")).toBe(false);
  expect(isBefore("0.9", "0.8.4")).toBe(false);
  expect(isBefore("0.8", "0.8.4")).toBe(true);
});
