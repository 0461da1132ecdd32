import type { Definition } from "./code-parser.ts";
import type { SplitFamily } from "./languages.ts";

/** What begins a named part in languages without a grammar: words that stand before a name. */
const keywords: Partial<Record<SplitFamily, string>> = {
  jvm: "class|interface|enum|record|object|struct|trait|fun|annotation",
  proto: "message|service|enum|rpc",
  scala: "class|object|trait|enum|def",
  sol: "contract|library|interface|struct|function|modifier|event",
  swift: "class|struct|enum|protocol|extension|actor|func",
};

const maxLineLength = 1_000;
const maxPathLength = 500;
const separator = " > ";

interface Open {
  /** Of a heading its level, of a symbol its indentation. */
  readonly depth: number;
  readonly name: string;
}

/** Where a section begins, and the names that hold from there. */
interface Section {
  readonly start: number;
  readonly path: string;
}

/**
 * The headings of a Markdown text, or the symbols of code, that hold at each place: `Guide > Setup`,
 * `Cache > get`. Symbols are a parser's where there is a grammar for the language; else they are
 * told by words and indentation, as editors fold, and unusual layouts may be told less well.
 */
export class Sections {
  readonly #sections: Section[] = [];

  /** `definitions`: what a parser has found. */
  constructor(text: string, family: SplitFamily, definitions?: readonly Definition[]) {
    if (definitions !== undefined) this.#addDefinitions(definitions, []);
    else if (family === "markdown") this.#findHeadings(text);
    else this.#findSymbols(text, family);
  }

  /** "" where nothing with a name has begun. */
  at(position: number): string {
    let low = 0;
    let high = this.#sections.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#sections[middle]?.start ?? 0) <= position) low = middle + 1;
      else high = middle;
    }
    return this.#sections[low - 1]?.path ?? "";
  }

  #addDefinitions(definitions: readonly Definition[], above: readonly string[]): void {
    for (const { start, end, names, children } of definitions) {
      const path = [...above, ...names];
      this.#sections.push({ start, path: pathOf(path) });
      this.#addDefinitions(children, path);
      // The line break at its end is still its own.
      this.#sections.push({ start: end + 1, path: pathOf(above) });
    }
  }

  #findHeadings(text: string): void {
    let fence = "";
    const open: Open[] = [];
    for (const { line, start } of linesOf(text)) {
      const mark = line.match(/^ {0,3}(```+|~~~+)/)?.[1];
      if (mark !== undefined && (fence === "" || mark.startsWith(fence))) {
        fence = fence === "" ? mark : "";
        continue;
      }
      const heading = fence === "" ? line.match(/^ {0,3}(#{1,6})\s+(.+?)\s*#*\s*$/) : null;
      if (heading === null) continue;
      this.#open(open, start, { depth: heading[1]?.length ?? 1, name: heading[2] ?? "" });
    }
  }

  #findSymbols(text: string, family: SplitFamily): void {
    const pattern = patternOf(family);
    if (pattern === undefined) return;
    const open: Open[] = [];
    for (const { line, start } of linesOf(text)) {
      if (line.trim() === "") continue;
      const depth = indentationOf(line);
      const name = line.match(pattern)?.groups?.["name"];
      if (name !== undefined) this.#open(open, start, { depth, name });
      else if (!/^\s*[\])}]|^\s*(end|else|elif|except|finally|catch)\b|^\s*[@#/*]/.test(line)) {
        // A statement beside or outside of what was open.
        const before = open.length;
        while ((open.at(-1)?.depth ?? -1) >= depth) open.pop();
        if (open.length < before)
          this.#sections.push({ start, path: pathOf(open.map((one) => one.name)) });
      }
    }
  }

  #open(open: Open[], start: number, one: Open): void {
    while ((open.at(-1)?.depth ?? -1) >= one.depth) open.pop();
    open.push(one);
    this.#sections.push({ start, path: pathOf(open.map((one) => one.name)) });
  }
}

function pathOf(names: readonly string[]): string {
  return names.join(separator).slice(0, maxPathLength);
}

const patterns = new Map(
  Object.entries(keywords).map(([family, words]) => [
    family,
    new RegExp(
      `^(\\s*)(?:[\\w@.()]+\\s+){0,6}(?:${words})\\s+(?<name>[\\w$]+(?:(?:\\.|::)\\w+)*[?!]?)`,
    ),
  ]),
);

function patternOf(family: SplitFamily): RegExp | undefined {
  return patterns.get(family);
}

function indentationOf(line: string): number {
  let width = 0;
  for (const character of line) {
    if (character === " ") width++;
    else if (character === "\t") width += 4;
    else break;
  }
  return width;
}

/** Lines that are short enough to name something. */
function* linesOf(text: string): Generator<{ readonly line: string; readonly start: number }> {
  for (let start = 0; start < text.length; ) {
    const end = text.indexOf("\n", start);
    const stop = end === -1 ? text.length : end;
    if (stop - start <= maxLineLength) yield { line: text.slice(start, stop), start };
    start = stop + 1;
  }
}
