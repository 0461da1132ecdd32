/**
 * How fast files are split, with a parser and without, by language:
 *
 * `node test/bench/splitting.ts [--data=FOLDER] [--rounds=3]`
 *
 * Files as ingestion finds them below FOLDER, by default this repository. Both sides take turns
 * and count the same tokens; *without* splits by the separators of the language alone.
 */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { setImmediate as nextTurn } from "node:timers/promises";
import { parseArgs } from "node:util";
import { chunkText } from "../../services/ingestion/chunking.ts";
import { type Language, languageOf } from "../../services/ingestion/languages.ts";
import { splitText } from "../../services/ingestion/text-splitter.ts";

const { values: args } = parseArgs({
  options: { data: { type: "string" }, rounds: { type: "string", default: "3" } },
});
const root = args.data ?? join(import.meta.dirname, "../..");
const maxBytes = 1_000_000;

interface Source {
  readonly language: Language;
  readonly text: string;
}

function* sourcesBelow(folder: string): Generator<Source> {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    if (entry.name.startsWith(".") || entry.name === "node_modules") continue;
    const path = join(folder, entry.name);
    if (entry.isDirectory()) yield* sourcesBelow(path);
    const language = entry.isFile() ? languageOf(entry.name) : undefined;
    if (language === undefined || !language.code || statSync(path).size > maxBytes) continue;
    yield { language, text: readFileSync(path, "utf8").replace(/\r\n?/g, "\n") };
  }
}

const byLanguage = Map.groupBy(sourcesBelow(root), ({ language }) => language.name);
const sizes = { chunkSize: 1024, chunkOverlap: 20 };
const sides = {
  with: ({ text, language }: Source) => chunkText(text, { family: language.family, ...sizes }),
  without: ({ text, language }: Source) => splitText(text, { family: language.family, ...sizes }),
};
const delay = monitorEventLoopDelay({ resolution: 1 });
delay.enable();
console.log(
  "| language | files | MB | with, MB/s | without, MB/s | ratio |\n|---|---|---|---|---|---|",
);
for (const [name, sources] of byLanguage) {
  const megabytes = sources.reduce((sum, { text }) => sum + Buffer.byteLength(text), 0) / 1e6;
  if (megabytes < 0.01) continue;
  const seconds = { with: Number.POSITIVE_INFINITY, without: Number.POSITIVE_INFINITY };
  for (let round = 0; round < Number(args.rounds); round++) {
    for (const side of ["with", "without"] as const) {
      const since = performance.now();
      for (const source of sources) {
        await sides[side](source);
        await nextTurn();
      }
      seconds[side] = Math.min(seconds[side], (performance.now() - since) / 1_000);
    }
  }
  const [one, other] = [megabytes / seconds.with, megabytes / seconds.without];
  const cells = [name, sources.length, megabytes.toFixed(2), one.toFixed(2), other.toFixed(2)];
  console.log(`| ${cells.join(" | ")} | ${(one / other).toFixed(2)} |`);
}
console.log(`\nlongest hold of the event loop: ${(delay.max / 1e6).toFixed(0)} ms`);
