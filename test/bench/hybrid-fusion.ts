/**
 * Compares ways to make one ranking of vector and text scores:
 * `node test/bench/hybrid-fusion.ts [--data FOLDER]... [--json]`.
 *
 * Each question is asked of a real store, on the PostgreSQL that MAHAVISHNU_TEST_PG_URL names, else
 * on the embedded one; the vectors are the built-in embedder's. Every way ranks the same candidates
 * by the same two scores. A FOLDER is a checkout of github.com/brandonstarxel/chunking_evaluation or
 * github.com/mohammadtavakoli78/BEAM; without one only the project's own small set is asked.
 */
import { parseArgs } from "node:util";
import { BuiltinEmbedder } from "../../services/embedding/builtin-embedder.ts";
import { PostgresDocumentStore } from "../../services/vector-store/postgres-store.ts";
import { hybridCandidates } from "../../services/vector-store/search.ts";
import { newDocument, searchOf } from "../conformance/document-store-samples.ts";
import { postgresMissing, testDatabase } from "../harness/postgres.ts";
import { type Candidate, fusions, type Ranking } from "./fusions.ts";
import { type LabelledCorpus, ownCorpus, readCorpora } from "./retrieval-data.ts";

const { values: args } = parseArgs({
  options: {
    data: { type: "string", multiple: true, default: [] },
    json: { type: "boolean", default: false },
  },
});
const collection = "memories";
const most = 10;
const embedder = new BuiltinEmbedder();
const model = embedder.model.name;

interface Figures {
  readonly set: string;
  readonly fusion: string;
  readonly questions: number;
  readonly recall5: number;
  readonly recall10: number;
  readonly mrr: number;
}

interface Asked {
  readonly set: string;
  readonly relevant: ReadonlySet<string>;
  readonly candidates: readonly Candidate[];
}

async function vectorsOf(texts: readonly string[], task: "document" | "query") {
  const outcomes = await embedder.embed(texts, task);
  return outcomes.map((one) => {
    if (!("vector" in one)) throw new Error("a text has no vector");
    return [...one.vector];
  });
}

async function store(target: PostgresDocumentStore, tenant: string, corpus: LabelledCorpus) {
  const all = [...corpus.documents];
  for (let at = 0; at < all.length; at += 200) {
    const part = all.slice(at, at + 200);
    const vectors = await vectorsOf(
      part.map(([, content]) => content),
      "document",
    );
    const documents = part.map(([id, content], i) =>
      newDocument(content, { id, vector: vectors[i], dedupScope: `named:${id}` }),
    );
    await target.write(tenant, { collection, model, documents });
  }
}

async function ask(
  target: PostgresDocumentStore,
  tenant: string,
  { set, questions }: LabelledCorpus,
): Promise<Asked[]> {
  const vectors = await vectorsOf(
    questions.map((one) => one.question),
    "query",
  );
  const asked: Asked[] = [];
  for (const [i, { question, relevant }] of questions.entries()) {
    const by = { mode: "hybrid" as const, vector: vectors[i] ?? [], text: question };
    // All that either leg could bring, each with both scores.
    const hits = await target.search(tenant, collection, searchOf(by, { limit: 200 }));
    const candidates = hits.map(({ document: { id }, vectorScore = 0, textScore = 0 }) => {
      return { id, vector: vectorScore, text: textScore };
    });
    asked.push({ set, relevant, candidates: pooled(candidates) });
  }
  return asked;
}

/** The candidates of a search for ten: the best of each leg. */
function pooled(all: readonly Candidate[]): Candidate[] {
  const best = (score: (one: Candidate) => number) =>
    all.toSorted((a, b) => score(b) - score(a)).slice(0, hybridCandidates(most));
  return [...new Set([...best((one) => one.vector), ...best((one) => one.text)])];
}

function figuresOf(set: string, asked: readonly Asked[], fusion: string, rank: Ranking): Figures {
  let recall5 = 0;
  let recall10 = 0;
  let mrr = 0;
  for (const { relevant, candidates } of asked) {
    const ranked = rank(candidates);
    const recall = (at: number) =>
      ranked.slice(0, at).filter((id) => relevant.has(id)).length / Math.min(at, relevant.size);
    recall5 += recall(5);
    recall10 += recall(10);
    const first = ranked.findIndex((id) => relevant.has(id));
    if (first >= 0) mrr += 1 / (first + 1);
  }
  const n = asked.length;
  return { set, fusion, questions: n, recall5: recall5 / n, recall10: recall10 / n, mrr: mrr / n };
}

const corpora = [ownCorpus(), ...args.data.flatMap(readCorpora)];
const database = await testDatabase(postgresMissing() === undefined ? "postgres" : "pglite");
try {
  const target = new PostgresDocumentStore(database.open());
  const asked: Asked[] = [];
  for (const [i, corpus] of corpora.entries()) {
    await store(target, `corpus-${i}`, corpus);
    asked.push(...(await ask(target, `corpus-${i}`, corpus)));
  }
  const sets = [...new Set(corpora.map((one) => one.set))];
  const figures = sets.flatMap((set) => {
    const own = asked.filter((one) => one.set === set);
    return Object.entries(fusions).map(([name, rank]) => figuresOf(set, own, name, rank));
  });
  if (args.json) console.log(JSON.stringify(figures, undefined, 2));
  else report(sets, figures);
} finally {
  await database.close();
}

function report(sets: readonly string[], figures: readonly Figures[]): void {
  for (const set of sets) {
    const own = figures.filter((one) => one.set === set);
    console.log(`\n${set}: ${own[0]?.questions} questions\n`);
    console.log("| ranking | recall@5 | recall@10 | MRR |\n|---|---|---|---|");
    for (const { fusion, recall5, recall10, mrr } of own) {
      const cells = [recall5, recall10, mrr].map((one) => one.toFixed(3).replace(/^0/, ""));
      console.log(`| ${fusion} | ${cells.join(" | ")} |`);
    }
  }
}
