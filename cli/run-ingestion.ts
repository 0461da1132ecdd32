import type { MessageInitShape } from "@bufbuild/protobuf";
import { type CallOptions, type Client, Code, ConnectError } from "@connectrpc/connect";
import type { IngestionProgress } from "../shared/gen/mahavishnu/ingestion/v1/ingestion_pb.js";
import type {
  IngestionService,
  IngestRepositoryRequestSchema,
} from "../shared/gen/mahavishnu/ingestion/v1/ingestion_service_pb.js";
import { CallFailure } from "./connection.ts";
import { followIngestion, reasonOf } from "./follow-ingestion.ts";
import type { IngestionReporter } from "./ingestion-reporter.ts";
import { IngestionScreen } from "./ingestion-screen.ts";
import { Interrupts } from "./interrupts.ts";
import { JsonReporter } from "./json-reporter.ts";

export type IngestionClient = Client<typeof IngestionService>;
export type Call = (more?: CallOptions) => CallOptions;

/** What to follow: an ingestion to be started, or one that exists. */
export type Target =
  | { readonly request: MessageInitShape<typeof IngestRepositoryRequestSchema> }
  | { readonly ingestionId: string };

export interface RunOptions {
  readonly client: IngestionClient;
  readonly call: Call;
  readonly reporter: IngestionReporter;
  /** How long to try where the service is lost. */
  readonly patienceMs: number;
  /** Whether Ctrl-C stops the ingestion, or only leaves it. */
  readonly atInterrupt: "cancel" | "leave";
}

/** How following it ended: with the ingestion, or since the user has left. */
export type RunEnd =
  | { readonly kind: "ended"; readonly progress: IngestionProgress; readonly interrupted: boolean }
  | { readonly kind: "left" };

const cancelTimeoutMs = 30_000;

/**
 * Follows an ingestion to its end. It is started detached, so that a lost connection does not stop
 * it; Ctrl-C asks the service to, and a second one leaves at once. Throws LostTouchError, or what
 * the service says where it does not begin.
 */
export async function runIngestion(target: Target, options: RunOptions): Promise<RunEnd> {
  const { client, call, reporter, patienceMs, atInterrupt } = options;
  const leaving = new AbortController();
  let id = "ingestionId" in target ? target.ingestionId : undefined;
  let wanted = false;
  let asked = false;

  const askToStop = () => {
    if (id === undefined || asked) return;
    asked = true;
    const ingestionId = id;
    const timed = call({ timeoutMs: cancelTimeoutMs, signal: leaving.signal });
    client.cancelIngestion({ ingestionId }, timed).catch((error) => {
      // It waits for the batch in flight, which may take longer than this.
      const { code } = ConnectError.from(error);
      if (code === Code.DeadlineExceeded || code === Code.Canceled) return;
      const words = `The service could not be asked to cancel (${reasonOf(error)}); the ingestion goes on. Cancel it with: npx mahavishnu ingestions cancel ${ingestionId}`;
      reporter.onNote("not_cancelled", { ingestion_id: ingestionId }, words);
      asked = false;
      leaving.abort();
    });
  };
  using _ = new Interrupts((times) => {
    if (atInterrupt === "leave" || times > 1) {
      leaving.abort();
      return;
    }
    wanted = true;
    const words =
      "Cancelling: the batch in flight is written to its end. Ctrl-C again leaves at once.";
    reporter.onNote("cancelling", { ingestion_id: id ?? null }, words);
    askToStop();
  });

  let last: IngestionProgress | undefined;
  const calls = {
    start: (signal: AbortSignal) => {
      const request = "request" in target ? target.request : {};
      return client.ingestRepository({ ...request, detached: true }, call({ signal }));
    },
    attach: (ingestionId: string, signal: AbortSignal) =>
      client.watchIngestion({ ingestionId }, call({ signal })),
  };
  try {
    for await (const event of followIngestion(calls, id, { patienceMs, signal: leaving.signal })) {
      if (event.kind === "progress") {
        last = event.progress;
        id = last.ingestionId;
        if (wanted) askToStop();
      }
      reporter.onEvent(event);
    }
  } catch (error) {
    // Who has cancelled before anything began does not want it tried again.
    const cancelled = wanted && id === undefined;
    if (!leaving.signal.aborted && !cancelled) throw error;
    leave(reporter, id, asked);
    return { kind: "left" };
  }
  if (last === undefined) throw new CallFailure("internal", "the ingestion told no progress");
  return { kind: "ended", progress: last, interrupted: wanted };
}

function leave(reporter: IngestionReporter, id: string | undefined, asked: boolean): void {
  const follow = id === undefined ? "" : ` Follow it with: npx mahavishnu ingestions watch ${id}`;
  const words = asked
    ? `Left; the ingestion has been asked to stop.${follow}`
    : id === undefined
      ? "Left before the service told whether it began."
      : `Left; the ingestion goes on.${follow}`;
  reporter.onNote("left", { ingestion_id: id ?? null, cancel_requested: asked }, words);
}

/** For programs one JSON object a line, for people what they can look at. */
export function createReporter(options: {
  readonly json?: boolean | undefined;
  readonly title: string;
  /** What Ctrl-C does. */
  readonly hint: string;
}): IngestionReporter {
  return options.json ? new JsonReporter() : new IngestionScreen(options.title, options.hint);
}
