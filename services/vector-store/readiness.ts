import { sleep } from "../../shared/lifecycle.ts";

export interface ReadinessOptions {
  /** Resolves when the service can do its work; throws an error that says what is missing. */
  readonly check: (signal: AbortSignal) => Promise<void>;
  /** Told when the answer changes, and first of all. */
  readonly changed: (problem: Error | undefined) => void;
  readonly intervalMs: number;
  /** How long one check may take. */
  readonly timeoutMs: number;
}

/** Looks again and again whether the service can do its work, until the signal aborts. */
export async function watchReadiness(
  { check, changed, intervalMs, timeoutMs }: ReadinessOptions,
  signal: AbortSignal,
): Promise<void> {
  let known: string | undefined;
  while (!signal.aborted) {
    const problem = await problemOf(
      check,
      AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]),
    );
    if (signal.aborted) return;
    const answer = problem?.message ?? "";
    if (answer !== known) changed(problem);
    known = answer;
    await sleep(intervalMs, signal).catch(() => {});
  }
}

async function problemOf(
  check: ReadinessOptions["check"],
  signal: AbortSignal,
): Promise<Error | undefined> {
  try {
    await check(signal);
    return undefined;
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}
