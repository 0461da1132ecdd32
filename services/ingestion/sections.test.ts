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

  it("knows the classes and functions of scripts", () => {
    const script = `import x from "y";
export class Cache<T> extends Base {
  #size = 0;

  async get(key: string): Promise<T> {
    if (this.#size > 0) {
      return inner;
    }
  }
}

export const helper = async (a: number) => {
  one();
};
const plain = 5;
`;
    expect(pathAt(script, "script", "import")).toBe("");
    expect(pathAt(script, "script", "#size = 0")).toBe("Cache");
    expect(pathAt(script, "script", "inner")).toBe("Cache > get");
    expect(pathAt(script, "script", "one()")).toBe("helper");
    expect(pathAt(script, "script", "plain")).toBe("");
  });

  it.each([
    ["python", "class A:\n    def f(self):\n        inner\n", "A > f"],
    ["go", "package m\n\nfunc (s *Server) Serve() {\n\tinner\n}\n", "Serve"],
    ["rust", "impl Cache {\n    pub fn get(&self) {\n        inner\n    }\n}\n", "Cache > get"],
    ["java", "public final class A {\n  enum B {\n    inner\n  }\n}\n", "A > B"],
    ["ruby", "module M\n  class C\n    def run!\n      inner\n", "M > C > run!"],
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
