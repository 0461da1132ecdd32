import { globSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";

const root = join(import.meta.dirname, "..", "..");

/**
 * Where statements that change the database's schema may stand: collections and their indexes, which
 * operators make, and the runner of migrations. Session-Buddy's bridge has a database of its own.
 */
const allowed = [
  "services/vector-store/sql/collection-store.ts",
  "services/vector-store/sql/index-statements.ts",
  "shared/postgres/migrate.ts",
];

const ddl =
  /\b(create|alter|drop|truncate)\s+((unlogged|unique|or|replace|temp|temporary)\s+)*(table|index|trigger|function|schema|extension|type|view)\b/i;

test("no service changes the schema while it writes or searches", async () => {
  const files = globSync("{services,shared}/**/*.ts", { cwd: root }).filter(
    (path) =>
      !path.startsWith("services/session-buddy/") &&
      !path.includes("/testing/") &&
      !path.endsWith(".test.ts"),
  );
  expect(files.length).toBeGreaterThan(300);
  const found: string[] = [];
  for (const path of files) {
    const code = (await readFile(join(root, path), "utf8")).replace(/\/\*[\s\S]*?\*\/|\/\/.*/g, "");
    if (ddl.test(code)) found.push(path);
  }
  expect(found.toSorted()).toEqual(allowed);
});
