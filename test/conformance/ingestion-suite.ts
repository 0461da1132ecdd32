import { Code } from "@connectrpc/connect";
import { afterEach, beforeEach, expect } from "vitest";
import {
  type IngestionProgress,
  IngestionStatus,
} from "../../shared/gen/mahavishnu/ingestion/v1/ingestion_pb.js";
import { newId } from "../../shared/ids.ts";
import { rejection } from "../../shared/rpc/testing/conditions.ts";
import { describeEachStore, type TestDatabase } from "../harness/postgres.ts";
import { FakePeers } from "./ingestion-peers.ts";
import {
  createFolder,
  ingest,
  startIngestion,
  type TestFolder,
  type TestIngestion,
} from "./ingestion-service.ts";

/** Declares a suite of ingestion for each store; the scene is a new one in each test. */
export function describeIngestion(body: (scene: IngestionTestScene) => void): void {
  describeEachStore("ingestion", (_, database) => {
    const scene = new IngestionTestScene(database);
    beforeEach(() => scene.open());
    afterEach(() => scene.close());
    body(scene);
  });
}

/**
 * The ingestion process with peers that tests control and a folder to plant files in, for a tenant
 * that no other test has.
 */
export class IngestionTestScene {
  peers!: FakePeers;
  folder!: TestFolder;
  service!: TestIngestion;
  tenant!: string;
  readonly database: () => TestDatabase;

  constructor(database: () => TestDatabase) {
    this.database = database;
  }

  async open(): Promise<void> {
    // Whatever a test leaves in the queue would be the next one's.
    await this.database().truncate();
    this.tenant = newId();
    this.peers = new FakePeers();
    this.folder = await createFolder();
    this.service = await this.start();
  }

  async close(): Promise<void> {
    await this.service[Symbol.asyncDispose]();
    await this.folder[Symbol.asyncDispose]();
  }

  start(env: Readonly<Record<string, string>> = {}): Promise<TestIngestion> {
    return startIngestion(this.database().url, this.peers, env, this.tenant);
  }

  run(
    request: Parameters<typeof ingest>[1] = {},
    client = this.service.client,
  ): Promise<IngestionProgress> {
    return ingest(client, { path: this.folder.path, repoId: "repo", ...request });
  }

  /** Follows an ingestion to its end; what was told last. */
  async followed(ingestionId: string): Promise<IngestionProgress | undefined> {
    let last: IngestionProgress | undefined;
    for await (const { progress } of this.service.client.watchIngestion({ ingestionId })) {
      last = progress;
    }
    return last;
  }

  /** Begins an ingestion, and leaves the call as soon as it tells of it; its id. */
  async abandoned(request: { readonly detached?: boolean } = {}): Promise<string> {
    const stop = new AbortController();
    const call = this.service.client.ingestRepository(
      { path: this.folder.path, repoId: "repo", ...request },
      { signal: stop.signal },
    );
    let id = "";
    const left = await rejection(
      (async () => {
        for await (const { progress } of call) {
          id = progress?.ingestionId ?? "";
          stop.abort();
        }
      })(),
    );
    expect(left).toMatchObject({ code: Code.Canceled });
    return id;
  }

  /** Starts an ingestion whose embedder waits; `release` lets it go on. */
  async runHeld(client = this.service.client) {
    const held = Promise.withResolvers<void>();
    const reached = Promise.withResolvers<void>();
    this.peers.onEmbed = () => {
      reached.resolve();
      return held.promise;
    };
    const running = this.run({}, client);
    running.catch(() => {});
    await reached.promise;
    const { ingestions } = await client.listIngestions({ status: IngestionStatus.IN_PROGRESS });
    return { running, release: held.resolve, id: ingestions[0]?.id ?? "" };
  }
}

/** A text of two parts that small chunks keep apart. */
export function twoParts(first: string, second: string): string {
  return `${first}\n\n${"Some words of prose. ".repeat(20)}\n\n${second}\n\n${"Other words. ".repeat(40)}\n`;
}
