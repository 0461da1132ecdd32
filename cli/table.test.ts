import { describe, expect, it } from "vitest";
import { renderTable } from "./table.ts";

describe("renderTable", () => {
  it("aligns columns under a ruled header", () => {
    const lines = renderTable(
      ["name", "n"],
      [
        ["alpha", "1"],
        ["b", "22"],
      ],
    )
      .trimEnd()
      .split("\n");
    expect(lines[0]?.trimEnd()).toBe("name   n");
    expect(lines[1]).toMatch(/^─+/);
    expect(lines[2]?.trimEnd()).toBe("alpha  1");
    expect(lines[3]?.trimEnd()).toBe("b      22");
  });

  it("wraps what is wider than the terminal and keeps every line within it", () => {
    const text = renderTable(["score", "content"], [["0.5", "word ".repeat(60)]], 60);
    for (const line of text.trimEnd().split("\n")) expect(line.length).toBeLessThanOrEqual(60);
    expect(text.match(/word/g)).toHaveLength(60);
  });

  it("puts a text of several lines on one", () => {
    expect(renderTable(["a"], [["x\n\ty"]])).toContain("x y");
  });
});
