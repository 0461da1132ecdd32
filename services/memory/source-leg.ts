import { DomainError } from "../../shared/errors.ts";
import { BudgetExceededError, type Call, type PeerCall, within } from "./deadline.ts";
import { AllSourcesFailedError } from "./errors.ts";
import { LeftAloneError } from "./peer-guard.ts";
import type { ScoredHit } from "./scoring.ts";
import type { Source } from "./sources.ts";

export type SourceStatus = "ok" | "degraded" | "failed" | "skipped";

/** How one source took part. */
export interface SourceReport {
  readonly source: Source;
  readonly status: SourceStatus;
  readonly latencyMs: number;
  /** Before merging. */
  readonly resultCount: number;
  /** For people: why it is not "ok", or what is switched off; else empty. */
  readonly message: string;
  /** Whether it was skipped because it failed before. */
  readonly leftAlone: boolean;
}

export interface SourceAnswer {
  readonly hits: readonly ScoredHit[];
  /** Why the answer is less than it should be. */
  readonly degraded: string | undefined;
}

/** What came of one source. */
export interface Leg {
  readonly source: Source;
  readonly hits: readonly ScoredHit[];
  readonly report: SourceReport;
  readonly error?: unknown;
}

export function skippedLeg(source: Source, message: string): Leg {
  return { source, hits: [], report: skipped(source, message, false) };
}

/** Reported where a source was not asked; `leftAlone` where that is since it failed before. */
export function skipped(source: Source, message: string, leftAlone: boolean): SourceReport {
  return { source, status: "skipped", latencyMs: 0, resultCount: 0, message, leftAlone };
}

/**
 * Asks one source within its budget. What goes wrong there is reported, and only what the caller
 * did wrong is thrown, and that the caller has gone.
 */
export async function askedLeg(
  source: Source,
  call: Call,
  budgetMs: number,
  ask: (peerCall: PeerCall) => Promise<SourceAnswer>,
): Promise<Leg> {
  const started = performance.now();
  const report = (status: SourceStatus, resultCount: number, message: string): SourceReport => ({
    source,
    status,
    latencyMs: performance.now() - started,
    resultCount,
    message,
    leftAlone: false,
  });
  try {
    const { hits, degraded } = await within(call, budgetMs, ask);
    const status = degraded === undefined ? "ok" : "degraded";
    return { source, hits, report: report(status, hits.length, degraded ?? "") };
  } catch (error) {
    call.signal.throwIfAborted();
    if (error instanceof LeftAloneError) {
      return { source, hits: [], report: skipped(source, error.message, true), error };
    }
    // The caller's own mistake, such as an unknown field in the filter, is no source's failure.
    if (error instanceof DomainError && error.kind === "invalid_argument") throw error;
    return { source, hits: [], report: report("failed", 0, failureMessage(error)), error };
  }
}

function failureMessage(error: unknown): string {
  if (error instanceof BudgetExceededError) return error.message;
  if (error instanceof DomainError) {
    if (error.kind === "deadline_exceeded") return "no answer in time";
    // What a peer calls internal may tell of its inside; the reason is enough for people.
    return error.kind === "internal" ? "failed inside" : error.message;
  }
  return "failed inside";
}

/** Throws AllSourcesFailedError where every source that should have answered failed. */
export function failIfNothingCame(legs: readonly Pick<Leg, "report" | "error">[]): void {
  const asked = legs.filter(({ report }) => report.status !== "skipped" || report.leftAlone);
  const failed = asked.filter(({ error }) => error !== undefined);
  if (asked.length === 0 || failed.length < asked.length) return;
  throw new AllSourcesFailedError(
    failed.map(({ report }) => ({ source: report.source, message: report.message })),
    failed.map(({ error }) => error),
  );
}

/** The leg with a remark, beside those that it has. */
export function notedLeg(leg: Leg, remark: string): Leg {
  const { report } = leg;
  const message = report.message === "" ? remark : `${report.message}; ${remark}`;
  return { ...leg, report: { ...report, message } };
}

/** The leg with a reason why it is less than it should be, beside those that it has. */
export function degradedLeg(leg: Leg, why: string): Leg {
  const noted = notedLeg(leg, why);
  return { ...noted, report: { ...noted.report, status: "degraded" } };
}
