/**
 * How good chunks are for retrieval: recall, precision and intersection over union (IoU) of what
 * the first results hold, on a public labelled set.
 *
 * `node test/bench/chunk-quality.ts --data PATH [--results=5] [--json]`
 *
 * PATH is a clone of github.com/brandonstarxel/chunking_evaluation or its folder
 * general_evaluation_data. Chunks are made by ingestion's own splitter, embedded by the built-in
 * embedder, found by the vector store's own hybrid search on the PostgreSQL that
 * MAHAVISHNU_TEST_PG_URL names, else on the embedded one, and answered by ingestion's
 * KnowledgeBase. These are the running services' own parts in one process: the RPCs between them
 * change no result and are left out. The measures and what follows from them stand in
 * docs/retrieval-evaluation.md.
 */
import { parseArgs } from "node:util";
import { BuiltinEmbedder } from "../../services/embedding/builtin-embedder.ts";
import { KnowledgeBase } from "../../services/ingestion/knowledge-base.ts";
import type { Embedder, PassageStore } from "../../services/ingestion/ports.ts";
import { splitText } from "../../services/ingestion/text-splitter.ts";
import { countTokens } from "../../services/ingestion/tokens.ts";
import { PostgresDocumentStore } from "../../services/vector-store/postgres-store.ts";
import { newDocument, searchOf } from "../conformance/document-store-samples.ts";
import { postgresMissing, testDatabase } from "../harness/postgres.ts";
import { type Coverage, coverageOf, meanCoverage } from "./retrieval/excerpt-measures.ts";
import { excerptFolder, type Range, readExcerptSet } from "./retrieval/excerpt-set.ts";

const { values: args } = parseArgs({
  options: {
    data: { type: "string" },
    results: { type: "string", default: "5" },
    json: { type: "boolean", default: false },
  },
});
const folder = excerptFolder(args.data ?? "");
if (folder === undefined) throw new Error("--data must name a copy of chunking_evaluation");
const results = Number(args.results);
const collection = "memories";
const embedder = new BuiltinEmbedder();
const model = embedder.model.name;

interface Way {
  readonly name: string;
  readonly split: (text: string) => Promise<readonly Range[]> | readonly Range[];
  /** As QueryKnowledgeBase takes it. */
  readonly passageCharacters?: number;
}

interface Figures extends Coverage {
  readonly way: string;
  readonly chunks: number;
  readonly meanTokens: number;
}

/** Runs of so many words, the white space between them kept. */
function wordsOf(text: string, count: number): Range[] {
  const words = [...text.matchAll(/\S+/g)];
  const spans: Range[] = [];
  for (let at = 0; at < words.length; at += count) {
    const first = words[at];
    const last = words[Math.min(words.length, at + count) - 1];
    if (first === undefined || last === undefined) continue;
    spans.push({ start: first.index, end: last.index + last[0].length });
  }
  return spans;
}

const ours = (chunkSize: number, chunkOverlap: number) => (text: string) =>
  splitText(text, { family: "markdown", chunkSize, chunkOverlap });

const ways: readonly Way[] = [
  { name: "fixed, 200 words", split: (text) => wordsOf(text, 200) },
  ...[1024, 512, 400, 350, 300, 200].map((size) => {
    return { name: `ours, ${size}/20`, split: ours(size, 20) };
  }),
  ...[900, 1200, 1500].map((passageCharacters) => {
    const name = `ours, 1024/20, parts of ${passageCharacters} characters`;
    return { name, split: ours(1024, 20), passageCharacters };
  }),
  {
    name: "fixed, 200 words, parts of 900 characters",
    split: (text) => wordsOf(text, 200),
    passageCharacters: 900,
  },
];

async function vectorsOf(texts: readonly string[], task: "document" | "query") {
  const outcomes = await embedder.embed(texts, task);
  return outcomes.map((one) => {
    if (!("vector" in one)) throw new Error("a text has no vector");
    return [...one.vector];
  });
}

const { corpora, questions } = readExcerptSet(folder);
const anywhere = { repoId: "", pathPrefix: "", language: "" };
const unused = () => Promise.reject(new Error("unused"));

/** As the embedding service embeds a question. */
const queries: Embedder = {
  defaultModel: async () => model,
  embed: async (_, __, ___, texts) =>
    (await vectorsOf(texts, "query")).map((vector) => ({ vector })),
};

/** As the vector store finds passages. */
function passagesIn(target: PostgresDocumentStore, tenant: string): PassageStore {
  return {
    model: async () => model,
    replace: unused,
    delete: unused,
    deleteRepository: unused,
    count: unused,
    search: async (_, { text, embedding, limit, minScore }) => {
      const by = { mode: "hybrid" as const, vector: embedding?.vector ?? [], text };
      const hits = await target.search(tenant, collection, searchOf(by, { limit, minScore }));
      return hits.map(({ document, score }) => ({
        ...anywhere,
        id: document.id,
        content: document.content,
        contentHash: document.contentHash,
        score,
        filePath: document.id,
        startLine: 0,
        startColumn: 0,
        endLine: 0,
        index: -1,
        section: "",
        commit: "",
        createTime: undefined,
      }));
    },
  };
}

interface Place extends Range {
  readonly corpus: string;
}

/** Wherever a text stands in another one. */
function placesOf(content: string, text: string): Range[] {
  const found: Range[] = [];
  for (let at = text.indexOf(content); at !== -1; at = text.indexOf(content, at + 1)) {
    found.push({ start: at, end: at + content.length });
  }
  return found;
}

function overlap(a: Range, b: Range): boolean {
  return a.start < b.end && b.start < a.end;
}

async function evaluate(target: PostgresDocumentStore, way: Way, tenant: string): Promise<Figures> {
  const places = new Map<string, Place>();
  const tokens: number[] = [];
  for (const [corpus, text] of corpora) {
    const spans = await way.split(text);
    const batch = spans.map(({ start, end }) => ({ start, end, content: text.slice(start, end) }));
    for (let at = 0; at < batch.length; at += 200) {
      const part = batch.slice(at, at + 200);
      const made = await vectorsOf(
        part.map(({ content }) => content),
        "document",
      );
      const documents = part.map(({ start, end, content }, i) => {
        const id = `${corpus}:${start}`;
        places.set(id, { corpus, start, end });
        tokens.push(countTokens(content));
        return newDocument(content, { id, vector: made[i], dedupScope: `of:${id}` });
      });
      await target.write(tenant, { collection, model, documents });
    }
  }
  const knowledge = new KnowledgeBase(queries, passagesIn(target, tenant));
  const measured: Coverage[] = [];
  for (const { question, corpus, excerpts } of questions) {
    const answer = await knowledge.ask(
      { tenant, signal: new AbortController().signal },
      {
        ...anywhere,
        query: question,
        topK: results,
        minScore: 0,
        // Merged passages would be fewer and longer than those of other programs.
        keepApart: true,
        groupByFile: false,
        passageCharacters: way.passageCharacters ?? 0,
      },
    );
    if (!("passages" in answer)) throw new Error("the answer is by file");
    const own: Range[] = [];
    let others = 0;
    for (const { id, content } of answer.passages) {
      // Of equal texts one is answered; it is as good as the labelled one.
      const equal = placesOf(content, corpora.get(corpus) ?? "");
      const isOwn = places.get(id)?.corpus === corpus;
      const place = equal.find((one) => excerpts.some((excerpt) => overlap(one, excerpt)));
      const range = place ?? (isOwn ? equal[0] : undefined);
      if (range === undefined) others += content.length;
      else own.push(range);
    }
    measured.push(coverageOf(own, excerpts, others));
  }
  const meanTokens = tokens.reduce((sum, one) => sum + one, 0) / tokens.length;
  return { way: way.name, chunks: tokens.length, meanTokens, ...meanCoverage(measured) };
}

const database = await testDatabase(postgresMissing() === undefined ? "postgres" : "pglite");
try {
  const target = new PostgresDocumentStore(database.open());
  const figures: Figures[] = [];
  for (const [i, way] of ways.entries()) figures.push(await evaluate(target, way, `way-${i}`));
  if (args.json) console.log(JSON.stringify(figures, undefined, 2));
  else {
    console.log(`${questions.length} questions, first ${results} results, model ${model}\n`);
    console.log("| chunks | how many | tokens | recall | precision | IoU | characters |");
    console.log("|---|---|---|---|---|---|---|");
    for (const { way, chunks, meanTokens, recall, precision, iou, characters } of figures) {
      const [r, p, u] = [recall, precision, iou].map((one) => one.toFixed(3).replace(/^0/, ""));
      const cells = [way, chunks, meanTokens.toFixed(0), r, p, u, characters.toFixed(0)];
      console.log(`| ${cells.join(" | ")} |`);
    }
  }
} finally {
  await database.close();
}
