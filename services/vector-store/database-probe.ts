import { DomainError } from "../../shared/errors.ts";

/** What is probed: a pool of connections. */
export interface ProbedDatabase {
  ping(signal: AbortSignal): Promise<void>;
  /** How many queries the server has answered so far. */
  readonly answers: number;
}

/**
 * Whether the database answers. A probe waits for a connection behind all other callers, so one
 * that gets none in time says nothing while the others are being answered; only where they have
 * not been for `quietMs` either, the database counts as gone. What it says itself counts at once.
 */
export class DatabaseProbe {
  readonly #database: ProbedDatabase;
  readonly #quietMs: number;
  #answers: number;
  #answeredAt = performance.now();

  constructor(database: ProbedDatabase, quietMs: number) {
    this.#database = database;
    this.#quietMs = quietMs;
    this.#answers = database.answers;
  }

  /** Throws where the database does not answer; `signal` ends one look. */
  async check(signal: AbortSignal): Promise<void> {
    try {
      await this.#database.ping(signal);
      this.#answeredAt = performance.now();
    } catch (error) {
      if (!saysNothing(error, signal) || !this.#answersOthers()) throw error;
    }
  }

  #answersOthers(): boolean {
    const { answers } = this.#database;
    if (answers !== this.#answers) {
      this.#answers = answers;
      this.#answeredAt = performance.now();
    }
    return performance.now() - this.#answeredAt < this.#quietMs;
  }
}

function saysNothing(error: unknown, signal: AbortSignal): boolean {
  if (signal.aborted) return true;
  return error instanceof DomainError && error.kind === "resource_exhausted";
}
