import { Code, ConnectError } from "@connectrpc/connect";
import { expect, it } from "vitest";
import { ErrorInfoSchema } from "../../shared/gen/google/rpc/error_details_pb.js";
import {
  type IngestionProgress,
  IngestionStage,
  IngestionStatus,
} from "../../shared/gen/mahavishnu/ingestion/v1/ingestion_pb.js";
import { startIngestion } from "./ingestion-service.ts";
import { describeIngestion } from "./ingestion-suite.ts";

const { COMPLETED, CANCELLED, IN_PROGRESS } = IngestionStatus;

describeIngestion((scene) => {
  it("refuses a second ingestion of a repository, and lets others follow the first", async () => {
    await scene.folder.plant({ "a.md": "# A\n" });
    const { running, release, id } = await scene.runHeld();
    const error = await scene.run().catch((one: unknown) => one);
    expect(error).toBeInstanceOf(ConnectError);
    expect(error).toMatchObject({ code: Code.Aborted });
    expect((error as ConnectError).findDetails(ErrorInfoSchema)).toMatchObject([
      { reason: "CONFLICT", metadata: { ingestion_id: id } },
    ]);
    await expect(scene.service.client.deleteRepository({ repoId: "repo" })).rejects.toMatchObject({
      code: Code.Aborted,
    });
    const watched: IngestionProgress[] = [];
    const watching = (async () => {
      for await (const { progress } of scene.service.client.watchIngestion({ ingestionId: id })) {
        if (progress !== undefined) watched.push(progress);
        release();
      }
    })();
    await Promise.all([watching, running]);
    expect(watched[0]).toMatchObject({ status: IN_PROGRESS, stage: IngestionStage.INGESTING });
    expect(watched.at(-1)).toMatchObject({ status: COMPLETED, stage: IngestionStage.DONE });
  });

  it("cancels", async () => {
    await scene.folder.plant({ "a.md": "# A\n" });
    const { running, id } = await scene.runHeld();
    const { ingestion } = await scene.service.client.cancelIngestion({ ingestionId: id });
    expect(ingestion).toMatchObject({
      status: CANCELLED,
      progress: { stage: IngestionStage.DONE },
    });
    expect(await running).toMatchObject({ status: CANCELLED });
    expect(scene.peers.documents.size).toBe(0);
    const again = await scene.service.client.cancelIngestion({ ingestionId: id });
    expect(again.ingestion).toMatchObject({ status: CANCELLED });
    scene.peers.onEmbed = () => {};
    expect(await scene.run()).toMatchObject({ status: COMPLETED, chunksStored: 1n });
  });

  it("cancels and follows what another process works on", async () => {
    await scene.folder.plant({ "a.md": "# A\n" });
    const { running, id } = await scene.runHeld();
    // It works on nothing itself.
    const idle = { MAHAVISHNU_INGESTION_PARALLEL_INGESTIONS: "0" };
    await using second = await startIngestion(
      scene.database().url,
      scene.peers,
      idle,
      scene.tenant,
    );
    const watched: IngestionProgress[] = [];
    const watching = (async () => {
      for await (const { progress } of second.client.watchIngestion({ ingestionId: id })) {
        if (progress !== undefined) watched.push(progress);
      }
    })();
    const { ingestion } = await second.client.cancelIngestion({ ingestionId: id });
    expect(ingestion).toMatchObject({ status: CANCELLED });
    expect(await running).toMatchObject({ status: CANCELLED });
    await watching;
    expect(watched.at(-1)).toMatchObject({ status: CANCELLED, stage: IngestionStage.DONE });
  });

  it("works on what another process was asked for, and cancels what waits at once", async () => {
    await scene.folder.plant({ "a.md": "# A\n" });
    const idle = { MAHAVISHNU_INGESTION_PARALLEL_INGESTIONS: "0" };
    await using asked = await startIngestion(scene.database().url, scene.peers, idle, scene.tenant);
    expect(await scene.run({}, asked.client)).toMatchObject({
      status: COMPLETED,
      chunksStored: 1n,
    });
    await scene.service[Symbol.asyncDispose]();
    const stop = new AbortController();
    const call = asked.client.ingestRepository(
      { path: scene.folder.path, repoId: "waits", detached: true },
      { signal: stop.signal },
    );
    for await (const { progress } of call) {
      expect(progress).toMatchObject({ status: IngestionStatus.PENDING });
      const ingestionId = progress?.ingestionId ?? "";
      const { ingestion } = await asked.client.cancelIngestion({ ingestionId });
      expect(ingestion).toMatchObject({ status: CANCELLED });
      break;
    }
  });

  it("stops when the call is cancelled", async () => {
    await scene.folder.plant({ "a.md": "# A\n" });
    scene.peers.onEmbed = () => new Promise(() => {});
    const id = await scene.abandoned();
    expect(await scene.followed(id)).toMatchObject({ status: CANCELLED });
  });

  it("goes on without the call that asked for it where it is detached", async () => {
    await scene.folder.plant({ "a.md": "# A\n" });
    const held = Promise.withResolvers<void>();
    scene.peers.onEmbed = () => held.promise;
    const id = await scene.abandoned({ detached: true });
    held.resolve();
    expect(await scene.followed(id)).toMatchObject({ status: COMPLETED, chunksStored: 1n });
  });
});
