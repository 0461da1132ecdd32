import { existsSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { readmeWithTable } from "./settings-table.ts";

const root = resolve(import.meta.dirname, "../..");
const readme = readFileSync(`${root}/README.md`, "utf8");

describe("the README", () => {
  it("has every setting in its table (npm run document writes it)", () => {
    expect(readme).toContain("`MAHAVISHNU_PG_HOST`");
    expect(readmeWithTable(readme)).toBe(readme);
  });

  it("links only to files that exist", () => {
    const links = [...readme.matchAll(/\]\((?!https?:)([^)#]+)/g)].map((match) => match[1] ?? "");
    expect(links.length).toBeGreaterThan(3);
    expect(links.filter((link) => !existsSync(resolve(root, link)))).toEqual([]);
  });

  it("names only npm scripts that exist", () => {
    const { scripts } = JSON.parse(readFileSync(`${root}/package.json`, "utf8"));
    const named = [...readme.matchAll(/npm run ([a-z-]+)/g)].map((match) => match[1] ?? "");
    expect(named.filter((name) => !(name in scripts))).toEqual([]);
  });
});
