import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { retrievalCases } from "../../services/embedding/retrieval-cases.ts";
import { excerptFolder, readExcerptSet } from "./retrieval/excerpt-set.ts";

/** Documents, and questions that some of them answer. */
export interface LabelledCorpus {
  readonly set: string;
  readonly documents: ReadonlyMap<string, string>;
  readonly questions: readonly {
    readonly question: string;
    readonly relevant: ReadonlySet<string>;
  }[];
}

/** The project's own small set. */
export function ownCorpus(): LabelledCorpus {
  const documents = new Map(retrievalCases.map(({ passage }, i) => [String(i), passage]));
  const questions = retrievalCases.map(({ question }, i) => {
    return { question, relevant: new Set([String(i)]) };
  });
  return { set: "own", documents, questions };
}

/** A public set in a folder as its repository has it; the layout tells which one it is. */
export function readCorpora(folder: string): LabelledCorpus[] {
  const excerpts = excerptFolder(folder);
  if (excerpts !== undefined) return [chunkingEvaluation(excerpts)];
  const chats = join(folder, "chats/100K");
  if (existsSync(chats)) {
    return readdirSync(chats)
      .filter((chat) => existsSync(join(chats, chat, "chat.json")))
      .map((chat) => beamChat(join(chats, chat)));
  }
  throw new Error(`${folder} holds neither chunking_evaluation's data nor BEAM's chats`);
}

const chunkLength = 900;

/** Five long texts, cut at the ends of sentences; a chunk is relevant where it holds a reference. */
function chunkingEvaluation(folder: string): LabelledCorpus {
  const { corpora, questions: asked } = readExcerptSet(folder);
  const documents = new Map<string, string>();
  const chunks = new Map<string, { id: string; start: number; end: number }[]>();
  for (const [corpus, text] of corpora) {
    const list: { id: string; start: number; end: number }[] = [];
    for (let start = 0; start < text.length; ) {
      let end = Math.min(text.length, start + chunkLength);
      const earliest = start + chunkLength / 2;
      for (let at = end; end < text.length && at > earliest; at--) {
        if (/[.!?\n]/.test(text[at - 1] ?? "")) {
          end = at;
          break;
        }
      }
      const id = `${corpus}-${start}`;
      const content = text.slice(start, end);
      if (content.trim() !== "") {
        documents.set(id, content);
        list.push({ id, start, end });
      }
      start = end;
    }
    chunks.set(corpus, list);
  }
  const questions = asked.map(({ question, corpus, excerpts }) => {
    const relevant = (chunks.get(corpus) ?? []).filter(({ start, end }) =>
      excerpts.some((excerpt) => {
        const shared = Math.min(end, excerpt.end) - Math.max(start, excerpt.start);
        // A reference that ends in the next chunk by a few letters is not held there.
        return shared >= Math.min(40, excerpt.end - excerpt.start);
      }),
    );
    return { question, relevant: new Set(relevant.map((one) => one.id)) };
  });
  return { set: "chunking_evaluation", documents, questions };
}

interface BeamTurn {
  readonly id: number;
  readonly role: string;
  readonly content: string;
}

/** One long conversation; the turns that a question was made from are relevant. */
function beamChat(folder: string): LabelledCorpus {
  const batches = JSON.parse(readFileSync(join(folder, "chat.json"), "utf8")) as {
    turns: BeamTurn[][];
  }[];
  const documents = new Map(
    batches
      .flatMap((batch) => batch.turns.flat())
      .filter((turn) => turn.content.trim() !== "")
      .map((turn) => [String(turn.id), turn.content.replace(/ ->-> [\d,]+\s*$/, "")]),
  );
  const probing = JSON.parse(
    readFileSync(join(folder, "probing_questions/probing_questions.json"), "utf8"),
  ) as Record<string, { question: string; source_chat_ids?: unknown }[]>;
  const questions = Object.values(probing)
    .flat()
    .map(({ question, source_chat_ids: sources }) => {
      const ids = numbersOf(sources).map(String);
      return { question, relevant: new Set(ids.filter((id) => documents.has(id))) };
    })
    .filter(({ relevant }) => relevant.size > 0);
  return { set: "BEAM 100K", documents, questions };
}

function numbersOf(value: unknown): number[] {
  if (typeof value === "number") return [value];
  if (typeof value !== "object" || value === null) return [];
  return Object.values(value).flatMap(numbersOf);
}
