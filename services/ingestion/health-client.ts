import type { DescService } from "@bufbuild/protobuf";
import { createClient, type Transport } from "@connectrpc/connect";
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
      const { status } = await client.check({ service: desc.typeName }, { signal });
      if (status !== ServingStatus.SERVING) throw new Error(`${name} is not serving`);
    },
  };
}
