import { ConnectError } from "@connectrpc/connect";
import {
  BadRequestSchema,
  ErrorInfoSchema,
  RetryInfoSchema,
} from "../../../shared/gen/google/rpc/error_details_pb.js";
import { sleep } from "../../../shared/lifecycle.ts";

/** An insight with all that a caller can say of one. */
export const insight = {
  content: "Always bound the connection pool, because leaks starve the others",
  insightType: "pattern",
  topics: ["database", "async"],
  project: "mahavishnu",
  confidence: 0.7,
  quality: 0.8,
  sourceConversationId: "c1",
  metadata: { workflow_id: "w1" },
  requestId: "r1",
};

/** Asks again, every 25 ms and 400 times at most. */
export async function until(condition: () => Promise<boolean>): Promise<void> {
  for (let attempt = 0; attempt < 400; attempt++) {
    if (await condition()) return;
    await sleep(25);
  }
  throw new Error(`still not so: ${condition}`);
}

/** How a call fails; throws where it does not. */
export async function failure(call: Promise<unknown>) {
  const error = await call.then(
    () => new Error("did not fail"),
    (reason: unknown) => reason,
  );
  if (!(error instanceof ConnectError)) throw error;
  return {
    code: error.code,
    info: error.findDetails(ErrorInfoSchema)[0],
    retry: error.findDetails(RetryInfoSchema)[0],
    message: error.rawMessage,
    fields: error
      .findDetails(BadRequestSchema)
      .flatMap(({ fieldViolations }) => fieldViolations.map(({ field }) => field)),
  };
}
