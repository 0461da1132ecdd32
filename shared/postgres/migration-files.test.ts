import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { readMigrations, requiredRevision } from "./migration-files.ts";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "mahavishnu-files-"));
});
afterEach(() => rmSync(directory, { recursive: true }));
const file = (name: string) => writeFileSync(join(directory, name), "select 1;");

test("reads numbered files in order, and nothing else", () => {
  for (const name of ["0010_b.sql", "0002_a_b.sql", "README.md"]) file(name);
  expect(readMigrations(directory).map(({ version, name }) => [version, name])).toEqual([
    [2, "0002_a_b.sql"],
    [10, "0010_b.sql"],
  ]);
  expect(requiredRevision(directory)).toBe(10);
});

test("refuses other names, numbers given twice, and an empty directory", () => {
  expect(() => readMigrations(directory)).toThrow("holds no migration");
  file("0001_a.sql");
  file("0001_b.sql");
  expect(() => readMigrations(directory)).toThrow("0001_a.sql and 0001_b.sql have the same number");
  file("1_c.sql");
  expect(() => readMigrations(directory)).toThrow("1_c.sql: must be named NNNN_name.sql");
});

test("finds the project's own", () => {
  expect(requiredRevision()).toBeGreaterThan(0);
});
