import { Code, ConnectError, createRouterTransport } from "@connectrpc/connect";
import { expect, test } from "vitest";
import {
  Health,
  HealthCheckResponse_ServingStatus as ServingStatus,
} from "../../shared/gen/health/v1/health_pb.js";
import { EmbeddingService } from "../../shared/gen/mahavishnu/embedding/v1/embedding_service_pb.js";
import { servingPeer } from "./health-client.ts";

const requirement = (check: () => { status: ServingStatus }) =>
  servingPeer(
    "embedding",
    EmbeddingService,
    createRouterTransport(({ service }) => service(Health, { check })),
  );
const { signal } = new AbortController();

test("a peer is there while it says that it serves", async () => {
  await requirement(() => ({ status: ServingStatus.SERVING })).check(signal);
  const draining = requirement(() => ({ status: ServingStatus.NOT_SERVING }));
  await expect(draining.check(signal)).rejects.toThrow("embedding is not serving");
});

test.each([Code.Unavailable, Code.Internal, Code.Canceled])(
  "what a peer writes of its failure (code %i) stands in no reason",
  async (code) => {
    const failing = requirement(() => {
      throw new ConnectError("the text of somebody", code);
    });
    const error = await failing.check(signal).catch((reason: unknown) => reason);
    expect(error).toHaveProperty("message", `embedding does not answer (${Code[code]})`);
  },
);
