import { join } from "node:path";
import { type Client, createClient } from "@connectrpc/connect";
import { afterEach, beforeEach } from "vitest";
import {
  Health,
  HealthCheckResponse_ServingStatus as Serving,
} from "../../../shared/gen/health/v1/health_pb.js";
import { SessionBuddyService } from "../../../shared/gen/mahavishnu/sessionbuddy/v1/sessionbuddy_service_pb.js";
import { Resources } from "../../../shared/lifecycle.ts";
import { createGrpcTransport, type GrpcTransport } from "../../../shared/rpc/client.ts";
import type { SessionBuddyOverrides } from "../app.ts";
import { startBridge, temporaryFolder } from "./session-buddy-files.ts";

export type Bridge = Client<typeof SessionBuddyService> & { readonly transport: GrpcTransport };

/** A scene that is a new one in each test of the file that calls this. */
export function sceneOfEachTest(): BridgeScene {
  const scene = new BridgeScene();
  beforeEach(() => scene.open());
  afterEach(() => scene.resources[Symbol.asyncDispose]());
  return scene;
}

/** A folder with, or without, Session-Buddy's file, and bridges over it that end with the test. */
export class BridgeScene {
  folder!: string;
  file!: string;
  resources!: Resources;

  async open(): Promise<void> {
    this.resources = new Resources((_, error) => {
      throw error;
    });
    this.folder = this.resources.use("folder", await temporaryFolder()).path;
    this.file = join(this.folder, "reflection.duckdb");
  }

  async start(
    overrides: SessionBuddyOverrides = {},
    env: Readonly<Record<string, string>> = {},
  ): Promise<Bridge> {
    const app = this.resources.use("app", await startBridge(this.folder, overrides, env));
    const transport = createGrpcTransport({ address: app.address, retry: { maxAttempts: 1 } });
    this.resources.defer("client", () => transport.close());
    return Object.assign(createClient(SessionBuddyService, transport), { transport });
  }
}

export async function serving({ transport }: Bridge): Promise<boolean> {
  const { status } = await createClient(Health, transport).check({
    service: SessionBuddyService.typeName,
  });
  return status === Serving.SERVING;
}
