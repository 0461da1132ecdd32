import { join } from "node:path";
import { Code } from "@connectrpc/connect";
import { expect, it } from "vitest";
import { IngestionStatus } from "../../shared/gen/mahavishnu/ingestion/v1/ingestion_pb.js";
import { newId } from "../../shared/ids.ts";
import { ingest, startIngestion } from "./ingestion-service.ts";
import { describeIngestion } from "./ingestion-suite.ts";

const { COMPLETED } = IngestionStatus;

describeIngestion((scene) => {
  it("names a repository by its folder, but not two of them the same", async () => {
    await scene.folder.plant({ "x/lib/a.md": "# A\n", "y/lib/b.md": "# B\n" });
    const named = await ingest(scene.service.client, { path: join(scene.folder.path, "x/lib") });
    const { ingestion } = await scene.service.client.getIngestion({
      ingestionId: named.ingestionId,
    });
    expect(ingestion?.repoId).toBe("lib");
    expect(
      await ingest(scene.service.client, { path: join(scene.folder.path, "x/lib/") }),
    ).toMatchObject({
      status: COMPLETED,
    });
    const refused = ingest(scene.service.client, { path: join(scene.folder.path, "y/lib") });
    await expect(refused).rejects.toMatchObject({ code: Code.InvalidArgument });
    expect(scene.peers.storedOf("a.md")).toHaveLength(1);
  });

  it("removes a repository, and nothing of another one or another tenant", async () => {
    await scene.folder.plant({ "a.md": "# A\n" });
    await scene.run();
    await scene.run({ repoId: "other" });
    await using stranger = await startIngestion(scene.database().url, scene.peers, {}, newId());
    await scene.run({}, stranger.client);
    const { ingestions } = await scene.service.client.listIngestions({ repoId: "repo" });
    await expect(
      stranger.client.getIngestion({ ingestionId: ingestions[0]?.id ?? "" }),
    ).rejects.toMatchObject({ code: Code.NotFound });
    expect(await scene.service.client.deleteRepository({ repoId: "repo" })).toMatchObject({
      deletedChunks: 1n,
      deletedIngestions: 1n,
    });
    expect(scene.peers.documents.size).toBe(2);
    expect(await scene.service.client.deleteRepository({ repoId: "repo" })).toMatchObject({
      deletedChunks: 0n,
      deletedIngestions: 0n,
    });
    expect((await scene.service.client.listIngestions({ repoId: "repo" })).ingestions).toEqual([]);
    expect(await scene.run()).toMatchObject({ chunksStored: 1n });
  });

  it("lists in pages", async () => {
    await scene.folder.plant({ "a.md": "# A\n" });
    const ids: string[] = [];
    for (let n = 0; n < 3; n++) ids.unshift((await scene.run()).ingestionId);
    const first = await scene.service.client.listIngestions({ pageSize: 2 });
    expect(first.ingestions.map(({ id }) => id)).toEqual(ids.slice(0, 2));
    const rest = await scene.service.client.listIngestions({ pageToken: first.nextPageToken });
    expect(rest.ingestions.map(({ id }) => id)).toEqual(ids.slice(2));
    expect(rest.nextPageToken).toBe("");
  });
});
