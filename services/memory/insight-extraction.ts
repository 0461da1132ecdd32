import { insightKey } from "./content-identity.ts";
import { insightBlocks } from "./insight-blocks.ts";

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
  /** The lesson without its frame, lines parted by \n; see `insightLength`. */
  readonly content: string;
  readonly type: InsightType;
  /** In the order of `topicWords`. */
  readonly topics: readonly string[];
  /** 0 to 1: how sure the extraction is. */
  readonly confidence: number;
  /** 0.3 to 1: how useful the text looks. */
  readonly quality: number;
}

/**
 * In characters. Session-Buddy's own extractor passes over lessons below 30, and finds shorter ones
 * that others wrote; it cannot read longer ones back.
 */
export const insightLength = { min: 10, max: 10_000 } as const;

/** The insights of a text, in order, equal ones once; see `insightBlocks` for what frames them. */
export function extractInsights(text: string): FoundInsight[] {
  // Most texts hold none; they must cost next to nothing.
  if (!text.includes("★ Insight ─")) return [];
  const found = new Map<string, FoundInsight>();
  for (const block of insightBlocks(text)) {
    const content = block.trim();
    const length = charactersOf(content);
    if (length < insightLength.min || length > insightLength.max) continue;
    const key = insightKey(content);
    if (key !== "" && !found.has(key)) found.set(key, judgeInsight(content, length));
  }
  return [...found.values()];
}

/** As Session-Buddy counts: an emoji is one character. Exact up to the longest insight. */
function charactersOf(content: string): number {
  if (content.length > 2 * insightLength.max) return content.length;
  let count = 0;
  for (const _ of content) count++;
  return count;
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

/** What a lesson is about, and how good it looks, by its words. `length` is in characters. */
export function judgeInsight(content: string, length = charactersOf(content)): FoundInsight {
  const lower = content.toLowerCase();
  const type = typeWords.find(([, words]) => words.test(lower))?.[0] ?? "general";
  const topics = Object.keys(topicWords).filter((topic) => topicWords[topic]?.test(lower));
  const confidence = confidenceOf(lower, length, type, topics.length);
  return {
    content,
    type,
    topics,
    confidence,
    quality: qualityOf(lower, topics.length, confidence),
  };
}

/** Session-Buddy's own formula, so that its thresholds mean the same for our insights. */
function confidenceOf(lower: string, length: number, type: InsightType, topics: number): number {
  let confidence = 0.3 + Math.min(0.1 * topics, 0.3);
  if (adviceWords.some((word) => lower.includes(word))) confidence += 0.2;
  if (length >= 50 && length <= 500) confidence += 0.1;
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
