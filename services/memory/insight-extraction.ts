import { insightKey } from "./content-identity.ts";

/** The kinds of insight that Session-Buddy knows, in the order in which they are tried. */
export const insightTypes = [
  "pattern",
  "architecture",
  "best_practice",
  "gotcha",
  "general",
] as const;
export type InsightType = (typeof insightTypes)[number];

/** A lesson found in a text. */
export interface FoundInsight {
  /** The lesson without its frame, lines parted by \n; 10 to 10,000 characters. */
  readonly content: string;
  readonly type: InsightType;
  /** In the order of `topicWords`. */
  readonly topics: readonly string[];
  /** 0 to 1: how sure the extraction is. */
  readonly confidence: number;
  /** 0.3 to 1: how useful the text looks. */
  readonly quality: number;
}

/** Shorter ones are no lesson; Session-Buddy cannot read longer ones back. */
export const insightLength = { min: 10, max: 10_000 } as const;

/** A back-tick may stand around header and end: Session-Buddy's own long form has them. */
const header = /`?★ Insight ─{5,}`?/;
const endLine = /^[ \t]*`?─{5,}`?[ \t]*$/;
const inlineEnd = /`?─{5,}`?/;
const fence = /^[ \t]{0,3}(`{3,}|~{3,})/;

/**
 * The insights of a text, in order, equal ones once. Understood are `★ Insight ─────` (five dashes
 * or more, with or without back-ticks) up to a line of dashes, and the same within one line. A
 * block without an end, in a quotation (`>`) or in fenced code is none: it is talked about, not told.
 */
export function extractInsights(text: string): FoundInsight[] {
  // Most texts hold none; they must cost next to nothing.
  if (!text.includes("★ Insight ─")) return [];
  const found = new Map<string, FoundInsight>();
  for (const body of blocks(text.replaceAll("\r\n", "\n").split("\n"))) {
    const content = body.trim();
    if (content.length < insightLength.min || content.length > insightLength.max) continue;
    const key = insightKey(content);
    if (key !== "" && !found.has(key)) found.set(key, judgeInsight(content));
  }
  return [...found.values()];
}

function* blocks(lines: readonly string[]): Generator<string> {
  let openFence: string | undefined;
  let body: string[] | undefined;
  for (const line of lines) {
    const mark = fence.exec(line)?.[1];
    if (openFence !== undefined) {
      if (mark !== undefined && closes(mark, openFence, line)) openFence = undefined;
      body?.push(line);
      continue;
    }
    const start = header.exec(line);
    if (start !== null && !line.trimStart().startsWith(">")) {
      // A header within a block: the one before was never closed.
      const rest = line.slice(start.index + start[0].length);
      const end = inlineEnd.exec(rest);
      if (end !== null) yield rest.slice(0, end.index);
      body = end === null ? [rest] : undefined;
    } else if (body !== undefined && endLine.test(line)) {
      yield body.join("\n");
      body = undefined;
    } else {
      if (mark !== undefined) openFence = mark;
      body?.push(line);
    }
  }
}

function closes(mark: string, open: string, line: string): boolean {
  return mark[0] === open[0] && mark.length >= open.length && line.trim() === mark;
}

/** Words that tell a topic; a word counts at its beginning, so that `test` finds `testing`. */
const topicWords: Readonly<Record<string, RegExp>> = {
  async: /\b(async|await|asyncio|concurren|coroutine|event loop)/,
  database: /\b(database|sql|postgres|duckdb|sqlite|query|queries|transaction|schema|index|unnest)/,
  testing: /\b(test|pytest|vitest|mock|fixture|assert|coverage)/,
  api: /\b(apis?\b|endpoint|rest\b|graphql|grpc|rpc|http)/,
  security: /\b(secur|auth|token|password|encrypt|vulnerab|injection|permission)/,
  performance: /\b(perform|fast|slow|latency|throughput|optimi[sz]|cach|memory|batch)/,
  python: /\b(python|pip\b|pydantic|django|flask|pyproject)/,
  architecture: /\b(architect|design|layer|module|component|coupl|dependency inversion|adapter)/,
  "error-handling": /\b(error|exception|retry|retries|fallback|failure|catch)/,
  logging: /\b(log\b|logs\b|logger|logging|trace|telemetry|observab)/,
  "type-safety": /\b(type safe|type-safe|typing|types?\b|typescript|mypy|generics?\b)/,
  "async-patterns": /\b(gather|task group|taskgroup|semaphore|back-?pressure|async iterator|queue)/,
};

const typeWords: readonly (readonly [InsightType, RegExp])[] = [
  ["pattern", /\b(patterns?|idioms?|convention|factory|singleton|observer|strategy)\b/],
  [
    "architecture",
    /\b(architectur\w*|design decision|layers?|modular\w*|component|system design)\b/,
  ],
  ["best_practice", /\b(best practices?|always|should|recommend\w*|prefer|guideline)\b/],
  ["gotcha", /\b(gotchas?|pitfalls?|careful|beware|watch out|never|avoid|trap|unexpected\w*)\b/],
];

const adviceWords = ["always", "never", "use", "avoid", "should", "recommend"];

/** What a lesson is about, and how good it looks, by its words. */
export function judgeInsight(content: string): FoundInsight {
  const lower = content.toLowerCase();
  const type = typeWords.find(([, words]) => words.test(lower))?.[0] ?? "general";
  const topics = Object.keys(topicWords).filter((topic) => topicWords[topic]?.test(lower));
  const confidence = confidenceOf(lower, type, topics.length);
  return {
    content,
    type,
    topics,
    confidence,
    quality: qualityOf(lower, topics.length, confidence),
  };
}

/** Session-Buddy's own formula, so that its thresholds mean the same for our insights. */
function confidenceOf(lower: string, type: InsightType, topics: number): number {
  let confidence = 0.3 + Math.min(0.1 * topics, 0.3);
  if (adviceWords.some((word) => lower.includes(word))) confidence += 0.2;
  if (lower.length >= 50 && lower.length <= 500) confidence += 0.1;
  if (type === "pattern" || type === "architecture" || type === "best_practice") confidence += 0.1;
  return rounded(Math.min(confidence, 1));
}

/** Session-Buddy's own formula. */
function qualityOf(lower: string, topics: number, confidence: number): number {
  let quality = 0.5 + (confidence - 0.5) * 0.2;
  if (topics >= 2) quality += 0.2;
  if (/because|reason/.test(lower)) quality += 0.1;
  return rounded(Math.min(Math.max(quality, 0.3), 1));
}

/** Sums of tenths carry binary noise; six digits are more than the formulas have. */
function rounded(value: number): number {
  return Math.round(value * 1e6) / 1e6;
}
