import { describe, expect, it } from "vitest";
import { chunkText } from "./chunking.ts";
import { Sections } from "./sections.ts";

function pathAt(text: string, family: ConstructorParameters<typeof Sections>[1], word: string) {
  const position = text.indexOf(word);
  expect(position).toBeGreaterThan(-1);
  return new Sections(text, family).at(position);
}

describe("Sections", () => {
  const markdown = `intro\n\n# Guide\n\n## Setup ##\n\nfirst\n\n\`\`\`sh\n# no heading\ncode\n\`\`\`\n
## Use\n\nsecond\n\n# Other\n\nthird\n`;

  it.each([
    ["intro", ""],
    ["first", "Guide > Setup"],
    ["code", "Guide > Setup"],
    ["second", "Guide > Use"],
    ["third", "Other"],
  ])("knows the headings above %s", (word, path) => {
    expect(pathAt(markdown, "markdown", word)).toBe(path);
  });

  it.each([
    ["jvm", "data class A {\n  object B {\n    inner\n  }\n}\n", "A > B"],
    ["scala", "trait M {\n  def run() = {\n    inner\n", "M > run"],
    ["swift", "public final class C {\n  func get() {\n    inner\n", "C > get"],
    ["proto", "message Outer {\n  message In {\n    inner\n  }\n}\n", "Outer > In"],
    ["plain", "class A\n inner", ""],
  ] as const)("knows the symbols of %s", (family, text, path) => {
    expect(pathAt(text, family, "inner")).toBe(path);
  });

  it("names the section of each chunk", async () => {
    const text = `# A\n\n${"Words of prose. ".repeat(30)}\n\n## B\n\n${"More words. ".repeat(40)}\n`;
    const chunks = await chunkText(text, { family: "markdown", chunkSize: 128, chunkOverlap: 0 });
    expect(chunks.map(({ section }) => section)).toEqual(["A", "A > B"]);
  });
});
