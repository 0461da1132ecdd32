import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { cycles, readImports, violations } from "./import-rules.ts";

const root = new URL("../..", import.meta.url).pathname;

describe("import rules", () => {
  it("hold in the whole tree, and the check saw the tree", () => {
    const { files, imports } = readImports(root);
    expect(files).toContain("shared/errors.ts");
    expect(files).toContain("services/memory/main.ts");
    expect(imports.length).toBeGreaterThan(files.length);
    expect(imports).toContainEqual({ from: "shared/process.ts", to: "shared/config.ts" });
    expect(violations(imports)).toEqual([]);
  });

  it.each([
    ["services/memory/merge.ts", "services/embedding/app.ts", "memory may not import embedding"],
    ["shared/ids.ts", "services/memory/app.ts", "shared may not import memory"],
    ["services/memory/merge.ts", "shared/postgres/pool.ts", "domain files know neither"],
    ["cli/main.ts", "services/memory/app.ts", "cli may not import memory"],
    ["services/memory/app.ts", "services/memory/main.ts", "nothing imports main"],
  ])("%s -> %s is refused", (from, to, why) => {
    expect(violations([{ from, to }]).join()).toContain(why);
  });

  it("a cycle is refused", () => {
    const ring = [
      { from: "shared/a.ts", to: "shared/b.ts" },
      { from: "shared/b.ts", to: "shared/a.ts" },
    ];
    expect(cycles(ring)).toEqual(["cycle: shared/a.ts -> shared/b.ts -> shared/a.ts"]);
  });

  it("only config files read the environment", () => {
    const { files } = readImports(root);
    const readers = files.filter(
      (file) =>
        file.startsWith("services/") &&
        !file.endsWith(".test.ts") &&
        /process\.env/.test(readFileSync(`${root}/${file}`, "utf8")),
    );
    expect(readers.filter((file) => !file.endsWith("/config.ts"))).toEqual([]);
  });
});
