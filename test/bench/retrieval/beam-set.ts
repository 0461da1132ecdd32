import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { LabelledConversation, LabelledQuestion, LabelledTurn } from "./labelled-set.ts";

/*
 * BEAM (github.com/mohammadtavakoli78/BEAM), as far as it is read here: `chat.json` is a list of
 * batches, each with groups of turns that have an `id` unique within the chat; `probing_questions`
 * is an object of kinds, each a list of questions whose `source_chat_ids` are the ids of the turns
 * that hold the answer, as a list or an object of lists. What has none is not to be found, and is
 * left out.
 */

interface BeamTurn {
  readonly role: "user" | "assistant";
  readonly id: number;
  readonly content: string;
  readonly time_anchor?: string | null;
}

interface BeamBatch {
  readonly turns: readonly (readonly BeamTurn[])[];
}

interface BeamQuestion {
  readonly question: string;
  readonly source_chat_ids?: unknown;
}

/** Reads the folder `chats/100K` of BEAM, or one of the same form, or the clone around it. */
export function beamSet(path: string): LabelledConversation[] {
  const inClone = join(path, "chats", "100K");
  const folder = existsSync(inClone) ? inClone : path;
  const names = readdirSync(folder)
    .filter((name) => existsSync(join(folder, name, "chat.json")))
    .sort((a, b) => Number(a) - Number(b));
  if (names.length === 0) throw new Error(`${folder} holds no <name>/chat.json`);
  return names.map((name) => readChat(join(folder, name), name));
}

function readChat(folder: string, name: string): LabelledConversation {
  const batches = readJson<BeamBatch[]>(join(folder, "chat.json"));
  const places = new Map<number, number>();
  const sessions = batches.map(({ turns }) => {
    const spoken = turns.flat();
    const time = timeOf(spoken.find((turn) => turn.time_anchor)?.time_anchor);
    return spoken.map(({ id, role, content }): LabelledTurn => {
      places.set(id, places.size);
      return { role, content, time };
    });
  });
  const asked = readJson<Record<string, BeamQuestion[]>>(
    join(folder, "probing_questions", "probing_questions.json"),
  );
  const questions = Object.entries(asked).flatMap(([kind, list]) =>
    list.flatMap(({ question, source_chat_ids }): LabelledQuestion[] => {
      const ids = new Set(numbersIn(source_chat_ids));
      const evidence = [...ids].flatMap((id) => places.get(id) ?? []);
      return evidence.length === 0 ? [] : [{ kind, question, evidence }];
    }),
  );
  return { name, sessions, questions };
}

function readJson<T>(path: string): T {
  return JSON.parse(readFileSync(path, "utf8")) as T;
}

function numbersIn(value: unknown): number[] {
  if (typeof value === "number") return [value];
  if (typeof value !== "object" || value === null) return [];
  return Object.values(value).flatMap(numbersIn);
}

/** `March-15-2024`, the day on which a batch begins. */
function timeOf(anchor: string | null | undefined): Date | undefined {
  const time = new Date(`${anchor?.replaceAll("-", " ")} UTC`);
  return Number.isNaN(time.getTime()) ? undefined : time;
}
