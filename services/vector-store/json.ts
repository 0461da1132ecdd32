import { textProblem } from "./text-checks.ts";

/** What JSON can write. */
export type JsonValue = PresentJson | null;
/** JSON but null, which counts as no value at all. */
export type PresentJson = string | number | boolean | JsonValue[] | JsonObject;
export type JsonObject = { [key: string]: JsonValue };

/** What keeps a value from being stored as jsonb and read back the same; undefined if nothing. */
export function jsonProblem(value: JsonValue, maxDepth: number): string | undefined {
  if (typeof value === "string") return textProblem(value);
  if (typeof value === "number") {
    return Number.isFinite(value) ? undefined : "numbers must be finite";
  }
  if (typeof value !== "object" || value === null) return undefined;
  if (maxDepth === 0) return "is nested too deep";
  const isList = Array.isArray(value);
  for (const [key, entry] of Object.entries(value)) {
    const problem =
      (isList ? undefined : textProblem(key)) ?? jsonProblem(entry as JsonValue, maxDepth - 1);
    if (problem !== undefined) return problem;
  }
  return undefined;
}
