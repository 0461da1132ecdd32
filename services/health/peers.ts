import type { DescService } from "@bufbuild/protobuf";
import {
  type CallOptions,
  Code,
  ConnectError,
  createClient,
  type Transport,
} from "@connectrpc/connect";
import {
  Health,
  HealthCheckResponse_ServingStatus as Serving,
} from "../../shared/gen/health/v1/health_pb.js";
import { EmbeddingService } from "../../shared/gen/mahavishnu/embedding/v1/embedding_service_pb.js";
import { SessionBuddyService } from "../../shared/gen/mahavishnu/sessionbuddy/v1/sessionbuddy_service_pb.js";
import { type Component, type Facts, type Finding, ProbeFailure } from "./component-health.ts";

/** Asks a serving peer for more than "serving"; what it throws degrades the component. */
export type Inquiry = (transport: Transport, options: CallOptions) => Promise<Finding>;

export interface PeerOptions {
  readonly name: string;
  readonly service: DescService;
  readonly address: string;
  readonly transport: Transport;
  readonly inquire?: Inquiry;
  /** Less than a probe may take, so that a peer which serves and says no more is not called dead. */
  readonly inquiryTimeoutMs?: number;
}

/**
 * One of the platform's processes as a component: what `grpc.health.v1` says of its service, and
 * what an inquiry adds. Both are sent at once, so that the probe takes one round trip.
 */
export function peerComponent(options: PeerOptions): Component {
  const { name, service, address, transport, inquire, inquiryTimeoutMs = 500 } = options;
  const health = createClient(Health, transport);
  return {
    name,
    facts: { address },
    async probe(signal) {
      const bound = { signal, timeoutMs: inquiryTimeoutMs };
      const inquiry = inquire === undefined ? serving : settled(inquire(transport, bound));
      const { status } = await health
        .check({ service: service.typeName }, { signal })
        .catch((error: unknown) => {
          throw failureOf(ConnectError.from(error), service, address);
        });
      if (status !== Serving.SERVING) throw new ProbeFailure("not serving");
      return inquiry;
    },
  };
}

const serving: Finding = { status: "healthy", message: "serving", metadata: {} };

/** A peer that serves is not down because it says nothing more. */
async function settled(inquiry: Promise<Finding>): Promise<Finding> {
  try {
    return await inquiry;
  } catch (error) {
    const code = Code[ConnectError.from(error).code];
    return {
      status: "degraded",
      message: `serving, but does not say how it is: ${code}`,
      metadata: {},
    };
  }
}

function failureOf(error: ConnectError, service: DescService, address: string): ProbeFailure {
  const message =
    error.code === Code.Unavailable
      ? `not reachable at ${address}`
      : error.code === Code.NotFound
        ? `what answers at ${address} does not serve ${service.typeName}`
        : `answers ${Code[error.code]}`;
  return new ProbeFailure(message, { cause: error });
}

/**
 * Which model embeds. Lexical comparison is less than should be had, unless the configuration asks
 * for it (`lexicalWanted`).
 */
export function askForModel(lexicalWanted: boolean): Inquiry {
  return async (transport, options) => {
    const { models } = await createClient(EmbeddingService, transport).listModels({}, options);
    const model = models.find(({ isDefault }) => isDefault);
    if (model === undefined) return { status: "degraded", message: "no model", metadata: {} };
    const { name, provider, dimension, ready, lexical } = model;
    const metadata: Facts = { model: name, provider, dimension, lexical };
    if (!ready) return { status: "degraded", message: `${name} is not ready`, metadata };
    if (lexical && !lexicalWanted) {
      const message = `${name} compares words, not meaning`;
      return { status: "degraded", message, metadata };
    }
    return { status: "healthy", message: `embeds with ${name}`, metadata };
  };
}

/** Whether the bridge reads Session-Buddy's file and writes to it. */
export const askForBridge: Inquiry = async (transport, options) => {
  const status = await createClient(SessionBuddyService, transport).getStatus({}, options);
  const queued = Number(status.queuedWrites);
  const metadata: Facts = {
    file: status.file,
    total_records: Number(status.totalRecords),
    queued_writes: queued,
  };
  const waiting = `${queued} ${queued === 1 ? "write waits" : "writes wait"}`;
  if (!status.readable) {
    const message = status.message || "the file cannot be read";
    return { status: "degraded", message, metadata };
  }
  if (status.lockHolder !== "") {
    return {
      status: "degraded",
      message: `${status.lockHolder} holds the file; ${waiting}`,
      metadata: { ...metadata, lock_holder: status.lockHolder },
    };
  }
  if (queued > 0) return { status: "degraded", message: waiting, metadata };
  return { status: "healthy", message: status.message || "serving", metadata };
};
