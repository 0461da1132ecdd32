import type { DescService } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import {
  Health,
  HealthCheckResponse_ServingStatus as ServingStatus,
} from "../../shared/gen/health/v1/health_pb.js";
import type { Requirement } from "./readiness.ts";

/** A peer that says of itself that it serves. */
export function servingPeer(name: string, desc: DescService, transport: Transport): Requirement {
  const client = createClient(Health, transport);
  return {
    name,
    async check(signal) {
      const { status } = await client
        .check({ service: desc.typeName }, { signal })
        .catch((error: unknown) => {
          if (!(error instanceof ConnectError)) throw error;
          // The reason is logged, and what a peer writes may hold anything.
          throw new Error(`${name} does not answer (${Code[error.code]})`, { cause: error });
        });
      if (status !== ServingStatus.SERVING) throw new Error(`${name} is not serving`);
    },
  };
}
