import { Code, ConnectError } from "@connectrpc/connect";
import {
  type IngestionProgress,
  IngestionStatus,
} from "../shared/gen/mahavishnu/ingestion/v1/ingestion_pb.js";
import { sleep } from "../shared/lifecycle.ts";
import { isRefused } from "./connection.ts";

type Stream = AsyncIterable<{ readonly progress?: IngestionProgress | undefined }>;

/** What a follower learns. */
export type FollowEvent =
  | { readonly kind: "progress"; readonly progress: IngestionProgress }
  /** The connection or the service is gone; it is tried again after a pause. */
  | {
      readonly kind: "lost";
      readonly ingestionId: string;
      readonly reason: string;
      readonly attempt: number;
      /** Until it is given up. */
      readonly secondsLeft: number;
    }
  | { readonly kind: "attached"; readonly ingestionId: string };

/** Nothing was heard of an ingestion for too long; it may go on. */
export class LostTouchError extends Error {
  override readonly name = "LostTouchError";
  readonly ingestionId: string;
  readonly reason: string;

  constructor(ingestionId: string, reason: string, cause: unknown) {
    super(`nothing is heard of ingestion ${ingestionId}: ${reason}`, { cause });
    this.ingestionId = ingestionId;
    this.reason = reason;
  }
}

export interface FollowCalls {
  /** Asks for the ingestion; not called where its id is given. */
  readonly start: (signal: AbortSignal) => Stream;
  readonly attach: (ingestionId: string, signal: AbortSignal) => Stream;
}

export interface FollowOptions {
  /** How long to try without hearing anything. */
  readonly patienceMs: number;
  readonly signal: AbortSignal;
}

const firstPauseMs = 250;
const maxPauseMs = 5_000;
/** A service that is asked for a known ingestion answers at once, or not at all. */
const firstWordMs = 10_000;

/**
 * Tells how an ingestion goes until it has ended. Where the connection is lost, or the service dies
 * or stops, it attaches anew, with growing random pauses; throws LostTouchError where that does not
 * succeed for `patienceMs`, and the service's error where the ingestion was not begun.
 */
export async function* followIngestion(
  calls: FollowCalls,
  known: string | undefined,
  { patienceMs, signal }: FollowOptions,
): AsyncGenerator<FollowEvent> {
  let id = known;
  let lostAt: number | undefined;
  for (let attempt = 0; ; ) {
    try {
      for await (const progress of hear(calls, id, signal)) {
        if (lostAt !== undefined) yield { kind: "attached", ingestionId: progress.ingestionId };
        lostAt = undefined;
        attempt = 0;
        id = progress.ingestionId;
        yield { kind: "progress", progress };
        if (hasEnded(progress.status)) return;
      }
      throw new ConnectError("the stream ended before the ingestion", Code.Unavailable);
    } catch (error) {
      if (signal.aborted || id === undefined || !mayPass(error)) throw error;
      lostAt ??= performance.now();
      const left = patienceMs - (performance.now() - lostAt);
      const reason = reasonOf(error);
      if (left <= 0) throw new LostTouchError(id, reason, error);
      attempt++;
      yield { kind: "lost", ingestionId: id, reason, attempt, secondsLeft: Math.ceil(left / 1000) };
      const pause = Math.min(maxPauseMs, firstPauseMs * 2 ** (attempt - 1));
      await sleep(Math.min(left, pause * (0.5 + Math.random() / 2)), signal);
    }
  }
}

export function hasEnded(status: IngestionStatus): boolean {
  return (
    status === IngestionStatus.COMPLETED ||
    status === IngestionStatus.FAILED ||
    status === IngestionStatus.CANCELLED
  );
}

/** Whether trying again may help. */
export function mayPass(error: unknown): boolean {
  const { code, rawMessage } = ConnectError.from(error);
  if (code === Code.Unavailable) return true;
  // How a connection that breaks in mid-message may look.
  return code === Code.Internal && /RST_STREAM|ECONNRESET|connection/i.test(rawMessage);
}

/** In a few words, for people. */
export function reasonOf(error: unknown): string {
  const { rawMessage } = ConnectError.from(error);
  return isRefused(rawMessage) ? "nothing answers" : rawMessage;
}

async function* hear(
  { start, attach }: FollowCalls,
  id: string | undefined,
  signal: AbortSignal,
): AsyncGenerator<IngestionProgress> {
  const silence = new AbortController();
  const late = new ConnectError("the service does not answer", Code.Unavailable);
  const either = AbortSignal.any([signal, silence.signal]);
  const timer = id === undefined ? undefined : setTimeout(() => silence.abort(late), firstWordMs);
  try {
    for await (const { progress } of id === undefined ? start(either) : attach(id, either)) {
      clearTimeout(timer);
      if (progress !== undefined) yield progress;
    }
  } finally {
    clearTimeout(timer);
  }
}
