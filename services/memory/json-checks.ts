import type { Violations } from "../../shared/errors.ts";
import type { JsonObject } from "./memory.ts";

const mostLevels = 32;

/**
 * Checks that a JSON object can be stored as it is: size as JSON text, depth, finite numbers, and
 * no NUL, which PostgreSQL cannot hold. Adds one violation for each kind of fault.
 */
export function checkJson(
  violations: Violations,
  field: string,
  value: JsonObject,
  mostBytes: number,
): void {
  const faults = new Set<string>();
  walk(value, 1, faults);
  for (const fault of faults) violations.add(field, fault);
  // Deeper ones could exhaust the stack.
  if (faults.has(tooDeep)) return;
  if (Buffer.byteLength(JSON.stringify(value)) > mostBytes) {
    violations.add(field, `must be at most ${mostBytes / 1024} KiB as JSON`);
  }
}

const tooDeep = `must be at most ${mostLevels} levels deep`;

function walk(value: unknown, level: number, faults: Set<string>): void {
  if (typeof value === "string") {
    if (value.includes("\0")) faults.add("must not contain NUL");
  } else if (typeof value === "number") {
    if (!Number.isFinite(value)) faults.add("must hold finite numbers only");
  } else if (typeof value === "object" && value !== null) {
    if (level > mostLevels) {
      faults.add(tooDeep);
      return;
    }
    for (const [key, member] of Object.entries(value)) {
      if (key.includes("\0")) faults.add("must not contain NUL");
      walk(member, level + 1, faults);
    }
  }
}
