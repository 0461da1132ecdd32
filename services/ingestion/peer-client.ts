import { type CallOptions, Code, ConnectError } from "@connectrpc/connect";
import {
  DependencyUnavailableError,
  type ErrorKind,
  type ErrorReasonName,
} from "../../shared/errors.ts";
import { ErrorReason, type ItemError } from "../../shared/gen/mahavishnu/type/v1/error_pb.js";
import { outgoing } from "../../shared/rpc/call-context.ts";
import { codeOfKind } from "../../shared/rpc/errors.ts";
import { domainErrorOf } from "../../shared/rpc/peer-errors.ts";
import type { ItemFailure, Work } from "./ports.ts";

/** Calls a peer for some work, for at most `timeoutMs`; throws what the domain understands. */
export async function callPeer<T>(
  peer: string,
  work: Work,
  timeoutMs: number,
  send: (options: CallOptions) => Promise<T>,
): Promise<T> {
  const limit = Math.min(timeoutMs, work.timeoutMs ?? Number.POSITIVE_INFINITY);
  try {
    return await send(outgoing({ ...work, timeoutMs: limit }));
  } catch (error) {
    work.signal.throwIfAborted();
    // Nobody of ours has cancelled: the connection was closed under the call.
    if (error instanceof ConnectError && error.code === Code.Canceled) {
      throw new DependencyUnavailableError(peer, `${peer} ended the call`, error);
    }
    throw domainErrorOf(error, peer);
  }
}

const kindOfCode = new Map(
  Object.entries(codeOfKind).map(([kind, code]) => [code as number, kind as ErrorKind]),
);

/** Why a peer refused one item of a batch. */
export function failureOf(error: ItemError | undefined): ItemFailure {
  if (error === undefined) {
    return { kind: "internal", reason: "INTERNAL", message: "the answer is empty" };
  }
  const reason = ErrorReason[error.reason] as ErrorReasonName | "UNSPECIFIED" | undefined;
  return {
    kind: kindOfCode.get(error.code) ?? "internal",
    reason: reason === undefined || reason === "UNSPECIFIED" ? "INTERNAL" : reason,
    message: error.message,
  };
}
