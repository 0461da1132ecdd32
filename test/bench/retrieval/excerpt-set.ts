import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** `text.slice(start, end)` of its corpus. */
export interface Range {
  readonly start: number;
  readonly end: number;
}

/** A question, and the excerpts of one text that answer it. */
export interface ExcerptQuestion {
  readonly question: string;
  readonly corpus: string;
  readonly excerpts: readonly Range[];
}

export interface ExcerptSet {
  /** Texts by name. */
  readonly corpora: ReadonlyMap<string, string>;
  readonly questions: readonly ExcerptQuestion[];
}

const inClone = "chunking_evaluation/evaluation_framework/general_evaluation_data";

/** The data's folder, where `path` is it or a clone of github.com/brandonstarxel/chunking_evaluation. */
export function excerptFolder(path: string): string | undefined {
  return [join(path, inClone), path].find((folder) => existsSync(join(folder, "questions_df.csv")));
}

/** Reads five long texts and the questions that were made from excerpts of them. */
export function readExcerptSet(folder: string): ExcerptSet {
  const corpora = new Map<string, string>();
  for (const file of readdirSync(join(folder, "corpora"))) {
    corpora.set(file.replace(/\.md$/, ""), readFileSync(join(folder, "corpora", file), "utf8"));
  }
  const units = new Map([...corpora].map(([name, text]) => [name, unitsOf(text)]));
  const [, ...rows] = readCsv(readFileSync(join(folder, "questions_df.csv"), "utf8"));
  const questions = rows
    .filter((row) => row.length === 3)
    .map(([question = "", references = "[]", corpus = ""]): ExcerptQuestion => {
      const unit = units.get(corpus) ?? [];
      const excerpts = (JSON.parse(references) as { start_index: number; end_index: number }[]).map(
        ({ start_index, end_index }) => {
          return { start: unit[start_index] ?? 0, end: unit[end_index] ?? 0 };
        },
      );
      return { question, corpus, excerpts };
    });
  return { corpora, questions };
}

/** Where each code point begins, and the last one ends: the set counts these, JavaScript UTF-16 units. */
function unitsOf(text: string): number[] {
  const units: number[] = [];
  let at = 0;
  for (const point of text) {
    units.push(at);
    at += point.length;
  }
  return [...units, at];
}

function readCsv(text: string): string[][] {
  const rows: string[][] = [[]];
  const field = /(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r?\n|$)/gy;
  for (let match = field.exec(text); match !== null && match[0] !== ""; match = field.exec(text)) {
    const [, quoted, plain = "", end] = match;
    rows.at(-1)?.push(quoted === undefined ? plain : quoted.replaceAll('""', '"'));
    if (end !== ",") rows.push([]);
  }
  return rows.filter((row) => row.length > 0);
}
