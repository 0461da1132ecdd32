import { Code, ConnectError } from "@connectrpc/connect";
import { ErrorInfoSchema, RetryInfoSchema } from "../shared/gen/google/rpc/error_details_pb.js";
import { sleep } from "../shared/lifecycle.ts";
import { secondsOf } from "./output.ts";

/** Another process works on the same, or has died and is not yet taken for dead. */
export interface InTheWay {
  /** Of what is in the way. */
  readonly id: string;
  /** After how many seconds the service says to try again; a dead process's work is free by then. */
  readonly retrySeconds: number;
  /** Until it is given up. */
  readonly secondsLeft: number;
}

/** Between two tries, where the service does not name less: what is in the way may end before. */
const longestPauseMs = 2_000;
const leastPauseMs = 200;

/**
 * Tries until nothing is in the way, for `patienceMs` at most; `tell` is called once. Throws what
 * the last try has thrown.
 */
export async function awaitTurn<T>(
  attempt: () => Promise<T>,
  patienceMs: number,
  tell: (inTheWay: InTheWay) => void,
): Promise<T> {
  const until = performance.now() + patienceMs;
  for (let told = false; ; told = true) {
    try {
      return await attempt();
    } catch (error) {
      const left = until - performance.now();
      const found = inTheWay(error);
      if (found === undefined || left <= 0) throw error;
      if (!told) tell({ ...found, secondsLeft: Math.ceil(left / 1_000) });
      const pause = Math.min(longestPauseMs, found.retrySeconds * 1_000);
      await sleep(Math.min(left, Math.max(leastPauseMs, pause)));
    }
  }
}

/** The ingestion or migration that holds what was asked for; undefined at any other failure. */
export function holderIn(error: unknown): string | undefined {
  const connectError = ConnectError.from(error);
  if (connectError.code !== Code.Aborted) return undefined;
  const [info] = connectError.findDetails(ErrorInfoSchema);
  return info?.metadata["ingestion_id"] ?? info?.metadata["migration_id"];
}

function inTheWay(error: unknown): Pick<InTheWay, "id" | "retrySeconds"> | undefined {
  const id = holderIn(error);
  const [retry] = ConnectError.from(error).findDetails(RetryInfoSchema);
  if (id === undefined || retry === undefined) return undefined;
  return { id, retrySeconds: Math.ceil(secondsOf(retry.retryDelay)) };
}
