import { DatabaseError } from "pg";
import {
  DependencyUnavailableError,
  DomainError,
  type ErrorKind,
  type ErrorReasonName,
} from "../errors.ts";

interface Meaning {
  readonly kind: ErrorKind;
  readonly reason: ErrorReasonName;
  /** Whether the same work, done again after a pause, is expected to succeed. */
  readonly retryable: boolean;
  /** For people; sent to the caller in place of the driver's text. */
  readonly message: string;
}

const unavailable = (message: string): Meaning => ({
  kind: "unavailable",
  reason: "DEPENDENCY_UNAVAILABLE",
  retryable: true,
  message,
});
const contended = (message: string): Meaning => ({
  kind: "aborted",
  reason: "CONFLICT",
  retryable: true,
  message,
});
const full = (message: string, retryable: boolean): Meaning => ({
  kind: "resource_exhausted",
  reason: "OVERLOADED",
  retryable,
  message,
});
const fault = (message: string): Meaning => ({
  kind: "internal",
  reason: "INTERNAL",
  retryable: false,
  message,
});

/**
 * What an SQLSTATE means to a caller, and whether to try again. A state that is not here is looked
 * up by its class (the first two characters); what is in neither is a fault of ours and final.
 */
const meanings: Readonly<Record<string, Meaning>> = {
  // The other transaction has committed by the time of the next try.
  "40001": contended("another transaction changed the same rows"),
  // The victim's locks are released, so that the others can finish.
  "40P01": contended("another transaction held the same rows"),
  // Comes of lock_timeout and nowait alone: somebody held the lock for a while.
  "55P03": contended("the rows are locked by another transaction"),
  // A restart or a fail-over ends sessions with these three; the server is back within seconds.
  "57P01": unavailable("the database is shutting down"),
  "57P02": unavailable("the database is restarting after a crash"),
  "57P03": unavailable("the database is starting up"),
  // Asked in vain for a connection slot: nothing was executed, and slots come free.
  "53300": unavailable("the database has no free connections"),
  // The connection broke or was never made. Whether a commit in flight took effect is unknown,
  // which is why only work that may be repeated belongs into withRetry.
  "08": unavailable("the connection to the database was lost"),
  // The statement was too slow; the same again would take as long and load the server once more.
  "57014": {
    kind: "deadline_exceeded",
    reason: "DEADLINE_EXCEEDED",
    retryable: false,
    message: "the database took too long",
  },
  // Waited past idle_in_transaction_session_timeout: the code is slow, and would be again.
  "25P03": fault("a transaction was left open for too long"),
  "53100": full("the database has no disk space left", false),
  "53200": full("the database has no memory left", false),
  "53": full("the database is out of resources", false),
  "54": {
    kind: "invalid_argument",
    reason: "MESSAGE_TOO_LARGE",
    retryable: false,
    message: "a value is larger than the database can hold",
  },
  "23505": {
    kind: "already_exists",
    reason: "CONFLICT",
    retryable: false,
    message: "an entry with this key exists already",
  },
  // The other constraints guard what the domain has checked before; breaking one is a bug.
  "23": fault("the database refused inconsistent data"),
  // As of a replica, or a read-only primary while it fails over: another node takes writes.
  "25006": unavailable("the database is read-only at the moment"),
  // 42P01 and 42703 come of a schema at another revision; readiness says what to run.
  "42": fault("the database does not understand a statement"),
  "28": unavailableFinally("the database refuses these credentials"),
  "3D": unavailableFinally("the database does not exist"),
};

function unavailableFinally(message: string): Meaning {
  return { ...unavailable(message), retryable: false };
}

const unknownMeaning = fault("the database failed");

/** The meaning of an SQLSTATE, five characters. */
export function meaningOf(sqlState: string): Meaning {
  return meanings[sqlState] ?? meanings[sqlState.slice(0, 2)] ?? unknownMeaning;
}

export const sqlStates = {
  uniqueViolation: "23505",
  foreignKeyViolation: "23503",
  checkViolation: "23514",
  undefinedTable: "42P01",
  undefinedObject: "42704",
  diskFull: "53100",
  queryCanceled: "57014",
  inFailedTransaction: "25P02",
} as const;

/**
 * An error that the database answered. Stores look at `sqlState` and `constraint` to throw what it
 * means in their domain; unhandled it reaches the caller as the table above says, without text of
 * the driver's.
 */
export class SqlError extends DomainError {
  override readonly name = "SqlError";
  readonly sqlState: string;
  /** The constraint or unique index that was broken. */
  readonly constraint: string | undefined;
  readonly table: string | undefined;
  readonly column: string | undefined;
  readonly retryable: boolean;

  constructor(error: DatabaseError) {
    const sqlState = error.code ?? "XX000";
    const { kind, reason, retryable, message } = meaningOf(sqlState);
    super(kind, reason, message, {
      cause: new DriverError(error, sqlState),
      ...(kind === "unavailable" ? { facts: { dependency: "postgresql" } } : {}),
      ...(retryable ? { retryAfterMs: retryAfterMs[kind] ?? 1_000 } : {}),
    });
    this.sqlState = sqlState;
    this.constraint = error.constraint;
    this.table = error.table;
    this.column = error.column;
    this.retryable = retryable;
  }
}

const retryAfterMs: Partial<Record<ErrorKind, number>> = { aborted: 100 };

/** Classes whose message quotes the data: bad values, broken constraints, what a function raises. */
const quotesData = /^(22|23|P0)/;

/** What our own logs may hold of a driver's error: `detail` and `where` quote rows and are left. */
class DriverError extends Error {
  override readonly name = "DriverError";
  readonly code: string;
  readonly position: string | undefined;

  constructor(error: DatabaseError, sqlState: string) {
    const of = [error.constraint, error.table, error.column].filter((part) => part !== undefined);
    const where = of.length === 0 ? "" : ` (${of.join(", ")})`;
    super(`${sqlState}${quotesData.test(sqlState) ? "" : `: ${error.message}`}${where}`);
    if (error.stack !== undefined) this.stack = withoutFirstLine(error, this.message);
    this.code = sqlState;
    this.position = error.position;
  }
}

/** Keeps the place of the call, and replaces the message that a stack begins with. */
function withoutFirstLine(error: Error, message: string): string {
  const frames = (error.stack ?? "").split("\n").filter((line) => /^\s+at /.test(line));
  return [`DriverError: ${message}`, ...frames].join("\n");
}

/** Codes of the operating system that say that there is no connection. */
const networkCodes = new Set([
  "ECONNREFUSED",
  "ECONNRESET",
  "EPIPE",
  "ETIMEDOUT",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "ENOTFOUND",
  "EAI_AGAIN",
  "ENOENT",
]);

/** How node-postgres says that the connection is gone; it gives no code with these. */
const brokenConnection =
  /^(Connection terminated|Client has encountered a connection error|Client was closed|timeout expired)/;

/** Whether the error says that the connection itself is lost. */
export function isConnectionLoss(error: unknown): boolean {
  if (error instanceof AggregateError) return error.errors.some(isConnectionLoss);
  if (!(error instanceof Error)) return false;
  if (error instanceof DatabaseError) return /^(08|57P0[123])/.test(error.code ?? "");
  const code = "code" in error ? String(error.code) : "";
  return networkCodes.has(code) || brokenConnection.test(error.message);
}

/** A driver's error as one that may leave this folder; any other comes back as it is. */
export function fromDriver(error: unknown): unknown {
  if (error instanceof DatabaseError) return new SqlError(error);
  if (isConnectionLoss(error)) {
    return new DependencyUnavailableError("postgresql", "the database does not answer", error);
  }
  return error;
}

/** Whether the work may succeed when it is done again after a pause. */
export function isTransient(error: unknown): boolean {
  if (error instanceof SqlError) return error.retryable;
  return error instanceof DependencyUnavailableError && error.facts["dependency"] === "postgresql";
}
