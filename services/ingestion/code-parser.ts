import { createRequire } from "node:module";
import treeSitter, {
  type Language,
  type Node,
  type ParseState,
  type Tree,
  type TreeCursor,
} from "@vscode/tree-sitter-wasm";
import { type Grammar, grammars } from "./grammars.ts";
import type { SplitFamily } from "./languages.ts";
import { lineStartAt } from "./lines.ts";
import type { Pace } from "./pace.ts";

const { Language: Languages, Parser } = treeSitter;

/** A function, a class or something else with a name: `text.slice(start, end)`, in whole lines. */
export interface Definition {
  readonly start: number;
  readonly end: number;
  /** Of a method outside of its type the type's name, too. */
  readonly names: readonly string[];
  /** In text order; none overlaps another. */
  readonly children: readonly Definition[];
}

/** Longer texts are not parsed. */
const maxCharacters = 2_000_000;
/**
 * The parser looks up about once in a hundred operations. Ordinary code takes 4 to 12 looks for
 * 1,000 characters, of which one takes about 20 µs, and a hundred times that where the parser tries
 * to make sense of what has none.
 */
const looksFor = (characters: number) => 2_000 + characters / 50;
const looksOnceBroken = 1_500;
/**
 * Of a `<` that may mean two things, within one statement. The parser compares what it could mean all
 * along, so that a look takes the longer the more of them there are: 1,000 take 0.3 s, 20,000 take 15.
 */
const mostAmbiguous = 1_000;
/** Deeper ones belong to the last. */
const maxDepth = 16;
const maxNameLength = 100;
/** Nodes between two looks at the clock. */
const nodesAtOnce = 512;

/**
 * What is defined in a text, by tree-sitter; as much of it as can be made out where the syntax is
 * broken. Undefined where the family has no grammar, and where parsing would take too long: by its
 * steps, not by the clock, so that the same text is always taken the same way.
 */
export async function definitionsIn(
  text: string,
  family: SplitFamily,
  pace: Pace,
): Promise<readonly Definition[] | undefined> {
  const grammar = grammars[family];
  if (grammar === undefined || text.length > maxCharacters) return undefined;
  if (grammar.isAmbiguous && isTangled(text)) return undefined;
  const { language, kinds } = await loaded(grammar);
  const tree = await parse(text, language, pace);
  if (tree === undefined) return undefined;
  try {
    return await new DefinitionFinder(text, kinds, grammar).find(tree, pace);
  } finally {
    tree.delete();
  }
}

function isTangled(text: string): boolean {
  let count = 0;
  for (const [character] of text.matchAll(/[<;{}]/g)) {
    count = character === "<" ? count + 1 : 0;
    if (count > mostAmbiguous) return true;
  }
  return false;
}

type Kind = "definition" | "wrapper" | "list" | "prelude" | "barren";

interface Known {
  readonly kind: Kind;
  readonly field: string;
  /** Nothing is looked for within it. */
  readonly isLeaf: boolean;
}

interface Loaded {
  readonly language: Language;
  /** What nodes are, by the number of their type; the others are of no interest. */
  readonly kinds: ReadonlyMap<number, Known>;
}

const loading = new Map<Grammar, Promise<Loaded>>();
let beginning: Promise<void> | undefined;

/** Once for each grammar that is met. */
function loaded(grammar: Grammar): Promise<Loaded> {
  let one = loading.get(grammar);
  if (one === undefined) {
    one = load(grammar);
    loading.set(grammar, one);
  }
  return one;
}

async function load(grammar: Grammar): Promise<Loaded> {
  beginning ??= Parser.init();
  await beginning;
  const { resolve } = createRequire(import.meta.url);
  const language = await Languages.load(
    resolve(`@vscode/tree-sitter-wasm/wasm/tree-sitter-${grammar.name}.wasm`),
  );
  const leaves = setOf(grammar.leaves);
  const kinds = new Map<number, Known>();
  const add = (types: string, kind: Kind, field = "") => {
    const wanted = setOf(types);
    language.types.forEach((type, id) => {
      if (wanted.has(type)) kinds.set(id, { kind, field, isLeaf: leaves.has(type) });
    });
  };
  add(grammar.preludes, "prelude");
  add(grammar.barren, "barren");
  add(grammar.wrappers, "wrapper");
  add(grammar.lists ?? "", "list");
  for (const [field, types] of Object.entries(grammar.definitions)) add(types, "definition", field);
  return { language, kinds };
}

/** In short turns: the parser stops when it is told to, and goes on where it stopped. */
async function parse(text: string, language: Language, pace: Pace): Promise<Tree | undefined> {
  const parser = new Parser();
  try {
    parser.setLanguage(language);
    let looks = 0;
    let most = looksFor(text.length);
    const progressCallback = ({ hasError }: ParseState) => {
      if (hasError) most = Math.min(most, looksOnceBroken);
      return looks++ > most || pace.due();
    };
    while (looks <= most) {
      const tree = parser.parse(text, null, { progressCallback });
      if (tree !== null) return tree;
      await pace.step();
    }
    return undefined;
  } finally {
    parser.delete();
  }
}

interface OpenNode {
  /** The definition that this node is, while its children are looked for. */
  readonly own: ({ readonly children: Definition[] } & Omit<Definition, "children">) | undefined;
  /** Where a wrapper begins and ends, for the first definition in it. */
  readonly wrapped: { readonly start: number; readonly end: number } | undefined;
  /** Where comments began that nothing but one line break separates from what follows. */
  prelude: { readonly start: number; end: number } | undefined;
}

/** Walks through a tree from node to node, not by recursion: hostile texts nest without end. */
class DefinitionFinder {
  readonly #text: string;
  readonly #kinds: Loaded["kinds"];
  readonly #valued: ReadonlySet<string>;
  readonly #values: ReadonlySet<string>;
  readonly #bodied: ReadonlySet<string>;
  readonly #receiver: string;
  readonly #found: Definition[] = [];
  /** The line that was asked for last: what is asked about next stands on it, mostly. */
  #line = { start: 0, end: -1 };
  /** Of the nodes above the current one. */
  readonly #open: OpenNode[] = [];
  #depth = 0;

  constructor(text: string, kinds: Loaded["kinds"], grammar: Grammar) {
    this.#text = text;
    this.#kinds = kinds;
    this.#valued = setOf(grammar.valued?.types);
    this.#values = setOf(grammar.valued?.values);
    this.#bodied = setOf(grammar.bodied);
    this.#receiver = grammar.receiver ?? "";
  }

  async find(tree: Tree, pace: Pace): Promise<readonly Definition[]> {
    const cursor = tree.walk();
    try {
      this.#open.push({ own: undefined, wrapped: undefined, prelude: undefined });
      let more = cursor.gotoFirstChild();
      for (let count = 1; more; count++) {
        if (count % nodesAtOnce === 0) await pace.step();
        const kind = this.#kinds.get(cursor.nodeTypeId);
        const node = this.#visit(cursor, kind);
        const isLeaf = kind?.kind === "barren" || (kind?.isLeaf === true && node.own !== undefined);
        if (!isLeaf && cursor.gotoFirstChild()) {
          this.#open.push(node);
          if (node.own !== undefined) this.#depth++;
          continue;
        }
        this.#close(node);
        more = this.#next(cursor);
      }
      return this.#found;
    } finally {
      cursor.delete();
    }
  }

  /** To the next node that is not below the current one; false at the end. */
  #next(cursor: TreeCursor): boolean {
    while (!cursor.gotoNextSibling()) {
      if (!cursor.gotoParent()) return false;
      const node = this.#open.pop();
      if (this.#open.length === 0) return false;
      if (node?.own !== undefined) this.#depth--;
      if (node !== undefined) this.#close(node);
    }
    return true;
  }

  #visit(cursor: TreeCursor, known: Known | undefined): OpenNode {
    const above = this.#open.at(-1);
    // Most nodes by far; each question to the cursor is a call out of JavaScript.
    if (known === undefined && above?.prelude === undefined) return nothing();
    const { startIndex: start, endIndex: end } = cursor;
    if (known?.kind === "prelude") {
      this.#addPrelude(start, end);
      return nothing();
    }
    const prelude = this.#preludeOf(start);
    if (above !== undefined && cursor.nodeIsNamed) above.prelude = undefined;
    const isSingle = known?.kind === "list" && cursor.currentNode.namedChildCount === 1;
    if (known?.kind === "wrapper" || isSingle) {
      const outer = above?.wrapped ?? { start: prelude?.start ?? start, end };
      return { own: undefined, wrapped: outer, prelude: undefined };
    }
    // Some grammars have the first comment of a body before it.
    const other = { own: undefined, wrapped: undefined, prelude };
    if (known?.kind !== "definition" || this.#depth >= maxDepth) return other;
    const names = this.#namesOf(cursor.currentNode, known.field);
    if (names.length === 0) return other;
    const range = above?.wrapped ?? { start: prelude?.start ?? start, end };
    const own = { ...this.#wholeLines(range.start, range.end), names, children: [] };
    return { own, wrapped: undefined, prelude: undefined };
  }

  #close({ own }: OpenNode): void {
    if (own === undefined) return;
    const parent = this.#open.findLast((one) => one.own !== undefined)?.own;
    const siblings = parent?.children ?? this.#found;
    const start = Math.max(own.start, siblings.at(-1)?.end ?? 0, parent?.start ?? 0);
    const end = Math.min(own.end, parent?.end ?? own.end);
    if (start < end) siblings.push({ ...own, start, end });
  }

  #namesOf(node: Node, field: string): string[] {
    const { type } = node;
    if (this.#bodied.has(type) && node.childForFieldName("body") === null) return [];
    if (this.#valued.has(type)) {
      const value = node.childForFieldName("value");
      if (value === null || !this.#values.has(value.type)) return [];
    }
    let name = node.childForFieldName(field);
    // A declarator stands within others: pointers, parameters, references.
    for (let inner = name; inner !== null; inner = innerDeclarator(inner)) name = inner;
    if (name === null) return [];
    const receiver = this.#receiver === "" ? null : node.childForFieldName(this.#receiver);
    const owner = receiver?.text.match(/(\w+)\s*(?:\[[^\]]*\]\s*)?\)$/)?.[1];
    const plain = field === "type" ? name.text.replace(/<.*$/s, "") : name.text;
    const own = plain.replace(/\s+/g, " ").slice(0, maxNameLength);
    // Methods that are defined outside of their class name it: `Cache::get`.
    const parts = name.type === "qualified_identifier" ? own.split("::") : [own];
    return [...(owner === undefined ? [] : [owner]), ...parts].filter((one) => one !== "");
  }

  #addPrelude(start: number, end: number): void {
    const above = this.#open.at(-1);
    if (above === undefined) return;
    const before = above.prelude;
    const lineStart = this.#lineAt(start).start;
    if (before !== undefined && this.#follows(before.end, start)) before.end = end;
    else if (this.#text.slice(lineStart, start).trim() === "") above.prelude = { start, end };
    else above.prelude = undefined;
  }

  #preludeOf(start: number): OpenNode["prelude"] {
    const prelude = this.#open.at(-1)?.prelude;
    return prelude !== undefined && this.#follows(prelude.end, start) ? { ...prelude } : undefined;
  }

  /** Whether there is nothing between two places but one line break. */
  #follows(end: number, start: number): boolean {
    if (start - end > 1_000) return false;
    const between = this.#text.slice(end, start);
    // Some grammars count a comment's line break as its own.
    const breaks = between.split("\n").length - (this.#text[end - 1] === "\n" ? 0 : 1);
    return between.trim() === "" && breaks <= 1;
  }

  #lineAt(at: number): { readonly start: number; readonly end: number } {
    if (at < this.#line.start || at > this.#line.end) {
      const end = this.#text.indexOf("\n", at);
      this.#line = {
        start: lineStartAt(this.#text, at),
        end: end === -1 ? this.#text.length : end,
      };
    }
    return this.#line;
  }

  /** With the indentation before it, and what closes it on its last line. */
  #wholeLines(start: number, end: number): { readonly start: number; readonly end: number } {
    const lineStart = this.#lineAt(start).start;
    const lineEnd = this.#lineAt(end).end;
    const isFirst = this.#text.slice(lineStart, start).trim() === "";
    const isLast = /^[\s;,)\]}]*$/.test(this.#text.slice(end, Math.min(lineEnd, end + 100)));
    return { start: isFirst ? lineStart : start, end: isLast ? lineEnd : end };
  }
}

function nothing(): OpenNode {
  return { own: undefined, wrapped: undefined, prelude: undefined };
}

function innerDeclarator(node: Node): Node | null {
  return node.type.endsWith("declarator") ? node.childForFieldName("declarator") : null;
}

function setOf(types: string | undefined): ReadonlySet<string> {
  return new Set(types?.split(" "));
}
