import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { chunkText } from "./chunking.ts";
import { type Definition, definitionsIn } from "./code-parser.ts";
import { languageOf, type SplitFamily } from "./languages.ts";
import { Pace } from "./pace.ts";
import { countTokens } from "./tokens.ts";

const read = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), "utf8");
const find = (text: string, family: SplitFamily) => definitionsIn(text, family, new Pace());

/** `Cache.get 3-7` of every definition. */
function told(text: string, definitions: readonly Definition[], above: string[] = []): string[] {
  const line = (position: number) => text.slice(0, position).split("\n").length;
  return definitions.flatMap(({ start, end, names, children }) => {
    const path = [...above, ...names];
    return [`${path.join(".")} ${line(start)}-${line(end)}`, ...told(text, children, path)];
  });
}

const samples: readonly (readonly [SplitFamily, text: string, definitions: readonly string[]])[] = [
  [
    "python",
    `import os

# What it is.
@final
class Cache(Base):
    size = 1

    @property
    def full(self):
        def inner():
            return 1
        return inner()

    async def get(self, key):
        return await self.load(key)

def main(): pass
`,
    ["Cache 3-15", "Cache.full 8-12", "Cache.full.inner 10-11", "Cache.get 14-15", "main 17-17"],
  ],
  [
    "typescript",
    `import x from "y";
const limit = 5; // not of the class

/** Kept things. */
@sealed()
export class Cache<T> {
  #size = 0;
  /** Told. */
  private readonly told = (a: T) => a;
  constructor() {}
  async get(key: string): Promise<T> {
    if (this.#size > 0) { return 1 as T; }
  }
}
export const helper = async <A>(a: A) => {
  one();
};
const [p, q] = [() => 1, 2], r = () => 1, s = () => 2;
namespace Inner { export interface Shape { a: number } }
export type Pair = [number, number];
export enum Kind { A }
`,
    [
      "Cache 4-14",
      "Cache.told 8-9",
      "Cache.constructor 10-10",
      "Cache.get 11-13",
      "helper 15-17",
      "r 18-18",
      "s 18-18",
      "Inner 19-19",
      "Inner.Shape 19-19",
      "Pair 20-20",
      "Kind 21-21",
    ],
  ],
  [
    "tsx",
    "export function App({ a }: Props) {\n  const go = () => a;\n  return <div onClick={go}>{a}</div>;\n}\n",
    ["App 1-4", "App.go 2-2"],
  ],
  [
    "script",
    "class A {\n  #p() {}\n  x = () => 1;\n}\nfunction* g() {}\nvar C = class {\n  m() {}\n};\n",
    ["A 1-4", "A.#p 2-2", "A.x 3-3", "g 5-5", "C 6-8", "C.m 7-7"],
  ],
  [
    "go",
    `package m

// Server serves.
type Server struct{ a int }

type (
	A int
	B string
)

// Serve does.
func (s *Server[T]) Serve(x int) error {
	return nil
}

func main() {}
`,
    ["Server 3-4", "A 7-7", "B 8-8", "Server.Serve 11-14", "main 16-16"],
  ],
  [
    "rust",
    `use std::fmt;

/// Keeps.
#[derive(Debug)]
pub struct Cache<T> { a: T }

impl<T: Clone> fmt::Display for Cache<T> {
    /// Gets.
    pub fn get(&self) -> T { self.a.clone() }
}
mod inner {
    fn f() {}
}
macro_rules! mac { () => {} }
trait Shape { fn area(&self) -> f64; }
`,
    [
      "Cache 3-5",
      "Cache 7-10",
      "Cache.get 8-9",
      "inner 11-13",
      "inner.f 12-12",
      "mac 14-14",
      "Shape 15-15",
      "Shape.area 15-15",
    ],
  ],
  [
    "java",
    `package a;

/** Kept. */
@Entity
public final class Cache<T> extends Base {
  private int size;

  Cache() { size = 0; }

  // Gets.
  @Override
  public T get(String key) {
    return null;
  }

  enum Kind { A, B }
  record Pair(int a, int b) {}
}
`,
    ["Cache 3-18", "Cache.Cache 8-8", "Cache.get 10-14", "Cache.Kind 16-16", "Cache.Pair 17-17"],
  ],
  [
    "cpp",
    `#include <a>
namespace store {
template <class T>
class Cache : public Base {
 public:
  int size() const { return 1; }
  ~Cache();
};
}  // namespace store

int Cache::get(const std::string &key) {
  struct stat st;
  return 2;
}
static char *copy(void) { return 0; }
typedef struct { int z; } T;
struct Point {
  int x;
};
`,
    [
      "store 2-9",
      "store.Cache 3-8",
      "store.Cache.size 6-6",
      "Cache.get 11-14",
      "copy 15-15",
      "Point 17-19",
    ],
  ],
  [
    "csharp",
    `using System;
namespace A.B {
  /// <summary>Kept.</summary>
  public class Cache<T> : Base {
    public Cache() {}
    [Obsolete]
    public async Task<T> Get(string key) {
      return default;
    }
    public record Pair(int A);
  }
}
`,
    [
      "A.B 2-12",
      "A.B.Cache 3-11",
      "A.B.Cache.Cache 5-5",
      "A.B.Cache.Get 6-9",
      "A.B.Cache.Pair 10-10",
    ],
  ],
  [
    "ruby",
    `module Store
  # Keeps.
  class Cache < Base
    def get!(key)
      key
    end

    def self.make; end
  end
end
`,
    ["Store 1-10", "Store.Cache 2-9", "Store.Cache.get! 4-6", "Store.Cache.make 8-8"],
  ],
  [
    "php",
    `<?php
namespace A;
/** Kept. */
final class Cache {
    public function get(string $key): int { return 1; }
}
function helper() {}
?>
<p>text</p>
`,
    ["Cache 3-6", "Cache.get 5-5", "helper 7-7"],
  ],
  [
    "shell",
    "#!/bin/bash\n\n# Builds.\nbuild() {\n  make\n}\nfunction clean { rm x; }\n",
    ["build 3-6", "clean 7-7"],
  ],
];

const realFiles = [
  "services/ingestion/code-parser.ts",
  "services/ingestion/text-splitter.ts",
  "services/vector-store/postgres-store.ts",
  "shared/rpc/server.ts",
  "cli/mahavishnu.mjs",
  "shared/gen/mahavishnu/ingestion/v1/ingestion_service_pb.js",
  "test/interop/python/client.py",
  "test/bench/peers/lance.py",
  "test/interop/go/main.go",
  ".ci/postgres.sh",
];

describe("definitionsIn", () => {
  it.each(samples)(
    "knows what %s defines, with what belongs to it",
    async (family, text, wanted) => {
      expect(told(text, (await find(text, family)) ?? [])).toEqual(wanted);
    },
  );

  it("knows nothing of languages without a grammar", async () => {
    expect(await find("# A\n", "markdown")).toBeUndefined();
    expect(await find("class A", "swift")).toBeUndefined();
  });

  it("makes out what it can of broken code", async () => {
    const broken = "class A {\n  get() { return (1; }\n  ok() { return 2; }\n";
    expect(told(broken, (await find(broken, "typescript")) ?? []).join()).toContain("ok");
  });

  it("neither throws nor loses its way wherever a text breaks off or is cut out of", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...samples),
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.nat(30),
        async ([family, text], at, length) => {
          const from = Math.floor(at * text.length);
          for (const broken of [
            text.slice(0, from),
            text.slice(0, from) + text.slice(from + length),
          ]) {
            const check = (definitions: readonly Definition[], start: number, end: number) => {
              let last = start;
              for (const one of definitions) {
                expect(one.start).toBeGreaterThanOrEqual(last);
                expect(one.end).toBeGreaterThan(one.start);
                expect(one.names.length).toBeGreaterThan(0);
                check(one.children, one.start, one.end);
                last = one.end;
              }
              expect(last).toBeLessThanOrEqual(end);
            };
            check((await find(broken, family)) ?? [], 0, broken.length);
          }
        },
      ),
      { numRuns: 300 },
    );
  });

  it.each([
    ["brackets without end", "{[(<".repeat(250_000)],
    ["words without meaning", "a ".repeat(500_000)],
    ["functions within functions", "function f() {".repeat(70_000)],
    ["one line", `x = [${"() => 1, ".repeat(110_000)}];`],
  ])(
    "comes to an end with a megabyte of %s",
    async (_, text) => {
      for (const family of ["typescript", "python"] as const) {
        const definitions = (await find(text, family)) ?? [];
        expect(definitions.length).toBeLessThan(120_000);
      }
    },
    120_000,
  );

  it("does not parse C++ that could mean too much, however long, and parses what is ordinary", async () => {
    for (const unit of ["a < b > c ", "a_rather_long_name < another_long_name >\n", "A<"]) {
      for (const times of [1_001, 200_000]) {
        expect(await find(unit.repeat(times), "cpp"), unit).toBeUndefined();
      }
    }
    const ordinary = "template <class T> bool less(T a, T b) { return a < b; }\n".repeat(2_000);
    expect(await find(ordinary, "cpp")).toHaveLength(2_000);
  });
});

describe("chunks of code", () => {
  it.each(realFiles)("do not cut what fits, in %s", async (path) => {
    const text = read(path);
    const family = languageOf(path)?.family ?? "plain";
    const lines = text.split("\n");
    for (const chunkSize of [64, 200, 1024]) {
      const chunks = await chunkText(text, { family, chunkSize, chunkOverlap: 20 });
      const covered = new Set<number>();
      for (const { content, startLine, endLine } of chunks) {
        expect(countTokens(content)).toBeLessThanOrEqual(chunkSize);
        expect(lines.slice(startLine - 1, endLine).join("\n")).toContain(content);
        for (let line = startLine; line <= endLine; line++) covered.add(line);
      }
      lines.forEach((line, index) => {
        if (line.trim() !== "") expect(covered).toContain(index + 1);
      });
      const all = (definitions: readonly Definition[]): readonly Definition[] =>
        definitions.flatMap((one) => [one, ...all(one.children)]);
      for (const { start, end, names } of all((await find(text, family)) ?? [])) {
        const whole = text.slice(start, end).trimEnd();
        if (countTokens(whole) > chunkSize) continue;
        const holders = chunks.filter(({ content }) => content.includes(whole));
        expect(holders, `${names.join(".")} in chunks of ${chunkSize}`).not.toEqual([]);
      }
    }
  });

  it("carry the path of the symbol that they begin with", async () => {
    const method = (name: string) =>
      `  ${name}() {\n${"    this.one.two.three();\n".repeat(12)}  }\n`;
    const text = `import x from "y";\n\nclass Cache {\n${["get", "set", "clear"].map(method).join("\n")}}\n\nfunction last() {\n${"  one();\n".repeat(30)}}\n`;
    const chunks = await chunkText(text, { family: "typescript", chunkSize: 128, chunkOverlap: 0 });
    expect(chunks.map(({ section, startLine, endLine }) => [section, startLine, endLine])).toEqual([
      ["", 1, 17],
      ["Cache > set", 19, 32],
      ["Cache > clear", 34, 48],
      ["last", 50, 81],
    ]);
  });

  it("of a function that does not fit all carry its path", async () => {
    const lines = Array.from({ length: 100 }, (_, n) => `        one_${n} = two + three\n`);
    const text = `class A:\n    def long(self):\n${lines.join("")}`;
    const chunks = await chunkText(text, { family: "python", chunkSize: 128, chunkOverlap: 20 });
    expect(chunks.length).toBeGreaterThan(3);
    expect(new Set(chunks.slice(1).map(({ section }) => section))).toEqual(new Set(["A > long"]));
  });
});
