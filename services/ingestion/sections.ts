import type { SplitFamily } from "./languages.ts";

/** What begins a named part, by family: words that stand before a name. */
const keywords: Partial<Record<SplitFamily, string>> = {
  cpp: "class|struct|namespace|union|enum",
  go: "type",
  java: "class|interface|enum|record|object|struct|namespace|trait|fun|annotation",
  php: "class|interface|trait|enum|function|namespace",
  proto: "message|service|enum|rpc",
  python: "class|def",
  ruby: "class|module|def",
  rust: "fn|struct|enum|trait|mod|union|macro_rules!",
  scala: "class|object|trait|enum|def",
  script: "class|interface|enum|namespace|function\\*?|type",
  sol: "contract|library|interface|struct|function|modifier|event",
  swift: "class|struct|enum|protocol|extension|actor|func",
};

const more: Partial<Record<SplitFamily, readonly RegExp[]>> = {
  go: [/^(\s*)func\s+(?:\([^)]{0,200}\)\s*)?(?<name>\w+)/],
  rust: [/^(\s*)impl\b(?:<[^>]{0,200}>)?\s+(?<name>[\w:<>, ]{1,200}?)\s*(?:where\b|\{|$)/],
  script: [
    /^(\s*)(?:export\s+)?(?:const|let|var)\s+(?<name>[\w$]+)[^=]{0,200}=\s*(?:async\s*)?(?:function\b|\(|[\w$]+\s*=>)/,
    // A method: what looks the same and is none begins with one of these words.
    /^(\s+)(?:(?:public|private|protected|static|async|override|readonly|get|set)\s+){0,4}(?!(?:if|for|while|switch|catch|function|return|do|else|await|with|super)\b)(?<name>[#*]?[\w$]+)\s*(?:<[^>]{0,100}>)?\([^;]{0,300}\{\s*$/,
  ],
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
 * `Cache > get`. Symbols are told by words and indentation, as editors fold, and not by a parser:
 * unusual layouts may be told less well.
 */
export class Sections {
  readonly #sections: Section[] = [];

  constructor(text: string, family: SplitFamily) {
    if (family === "markdown") this.#findHeadings(text);
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
    const patterns = patternsOf(family);
    if (patterns.length === 0) return;
    const open: Open[] = [];
    for (const { line, start } of linesOf(text)) {
      if (line.trim() === "") continue;
      const found = patterns.map((pattern) => line.match(pattern)).find((match) => match !== null);
      const depth = indentationOf(line);
      const name = found?.groups?.["name"]?.trim();
      if (name !== undefined) this.#open(open, start, { depth, name });
      else if (!/^\s*[\])}]|^\s*(end|else|elif|except|finally|catch)\b|^\s*[@#/*]/.test(line)) {
        // A statement beside or outside of what was open.
        const before = open.length;
        while ((open.at(-1)?.depth ?? -1) >= depth) open.pop();
        if (open.length < before) this.#sections.push({ start, path: pathOf(open) });
      }
    }
  }

  #open(open: Open[], start: number, one: Open): void {
    while ((open.at(-1)?.depth ?? -1) >= one.depth) open.pop();
    open.push(one);
    this.#sections.push({ start, path: pathOf(open) });
  }
}

function pathOf(open: readonly Open[]): string {
  return open
    .map(({ name }) => name)
    .join(separator)
    .slice(0, maxPathLength);
}

const patternsByFamily = new Map<SplitFamily, readonly RegExp[]>();

function patternsOf(family: SplitFamily): readonly RegExp[] {
  let patterns = patternsByFamily.get(family);
  if (patterns === undefined) {
    const words = keywords[family];
    const byWord =
      words === undefined
        ? []
        : [
            new RegExp(
              `^(\\s*)(?:[\\w@.()]+\\s+){0,6}(?:${words})\\s+(?<name>[\\w$]+(?:(?:\\.|::)\\w+)*[?!]?)`,
            ),
          ];
    patterns = [...byWord, ...(more[family] ?? [])];
    patternsByFamily.set(family, patterns);
  }
  return patterns;
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
