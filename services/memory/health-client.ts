import type { DescService } from "@bufbuild/protobuf";
import { createClient, type Transport } from "@connectrpc/connect";
import { DomainError } from "../../shared/errors.ts";
import {
  Health,
  HealthCheckResponse_ServingStatus as ServingStatus,
} from "../../shared/gen/health/v1/health_pb.js";
import { domainErrorOf } from "../../shared/rpc/peer-errors.ts";
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
          const known = domainErrorOf(error, name);
          throw known instanceof DomainError
            ? new Error("does not answer", { cause: known })
            : known;
        });
      if (status !== ServingStatus.SERVING) throw new Error("is not serving");
    },
  };
}
