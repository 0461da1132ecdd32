import { describe, expect, it } from "vitest";
import { PathList } from "./path-list.ts";

describe("PathList", () => {
  it("gives back what was added, in its order, and in pages", () => {
    const list = new PathList();
    const added = Array.from({ length: 5_000 }, (_, n) => ({
      path: `folder ${n % 7}/ä 漢 😀/${"x".repeat(n % 40)}${n}.md`,
      size: n * 1_000_003,
    }));
    for (const { path, size } of added) list.add(path, size);
    expect(list.count).toBe(added.length);
    expect([...list]).toEqual(added);
    const pages = [...list.pages(999)];
    expect(pages.map(({ length }) => length)).toEqual([999, 999, 999, 999, 999, 5]);
    expect(pages.flat()).toEqual(added);
    expect([...new PathList().pages(10)]).toEqual([]);
  });
});
