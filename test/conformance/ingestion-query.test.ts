import { Code } from "@connectrpc/connect";
import { expect, it } from "vitest";
import { SearchMode } from "../../shared/gen/mahavishnu/vectorstore/v1/vectorstore_service_pb.js";
import { unavailable } from "./ingestion-peers.ts";
import { describeIngestion } from "./ingestion-suite.ts";

describeIngestion((scene) => {
  it("keeps equal passages of different files, and answers with one of them", async () => {
    await scene.folder.plant({ "a/x.md": "# Same\n", "b/x.md": "# Same\n", "c.ts": "// # Same\n" });
    await scene.run();
    expect(scene.peers.documents.size).toBe(3);
    const ask = async (request: object) =>
      (await scene.service.client.queryKnowledgeBase({ query: "Same", repoId: "repo", ...request }))
        .passages;
    expect((await ask({})).map(({ content }) => content).sort()).toEqual(["# Same", "// # Same"]);
    expect(await ask({ pathPrefix: "b/" })).toMatchObject([
      { filePath: "b/x.md", startLine: 1, endLine: 1, language: "markdown", repoId: "repo" },
    ]);
    expect(await ask({ language: "typescript" })).toMatchObject([{ filePath: "c.ts" }]);
    expect(await ask({ repoId: "another" })).toEqual([]);
    expect(await ask({ topK: 1 })).toHaveLength(1);
    expect(scene.peers.lastSearch?.mode).toBe(SearchMode.HYBRID);
  });

  it("puts neighbours together, and answers by file where that is asked for", async () => {
    const chunks = { chunkSize: 64, chunkOverlap: 0 };
    const parts = ["one", "two", "three"].map(
      (word) => `# ${word}\n\n${`Needle ${word}. `.repeat(15)}`,
    );
    await scene.folder.plant({ "a.md": parts.join("\n\n"), "b.md": "# B\n\nNeedle.\n" });
    expect((await scene.run(chunks)).chunksStored).toBeGreaterThan(3n);
    const ask = (request: object) =>
      scene.service.client.queryKnowledgeBase({
        query: "Needle",
        repoId: "repo",
        topK: 10,
        ...request,
      });
    const { passages } = await ask({});
    expect(passages.map(({ filePath }) => filePath).sort()).toEqual(["a.md", "b.md"]);
    const whole = passages.find(({ filePath }) => filePath === "a.md");
    expect(whole).toMatchObject({ startLine: 1, endLine: 11, section: "one" });
    expect(whole?.memoryIds.length).toBeGreaterThan(2);
    const apart = await ask({ keepApart: true });
    expect(apart.passages.length).toBeGreaterThan(3);
    expect(apart.passages.map(({ section }) => section)).toContain("three");
    const { files } = await ask({ groupByFile: true, topK: 1 });
    expect(files).toHaveLength(1);
    expect(files[0]?.passages.every(({ filePath }) => filePath === files[0]?.filePath)).toBe(true);
  });

  it("tells what neighbours share once, whatever a text repeats", async () => {
    const text = Array.from({ length: 120 }, (_, n) => (n % 7 === 0 ? `needle ${n}` : "hay")).join(
      "\n",
    );
    await scene.folder.plant({ "lines.md": text, "line.md": text.replaceAll("\n", " ") });
    await scene.run({ chunkSize: 64, chunkOverlap: 30 });
    const { passages } = await scene.service.client.queryKnowledgeBase({ query: "hay", topK: 100 });
    expect(passages.map(({ content }) => content).sort()).toEqual(
      [text, text.replaceAll("\n", " ")].sort(),
    );
    expect(passages.every(({ memoryIds }) => memoryIds.length > 3)).toBe(true);
  });

  it("answers the parts that match best where that is asked for", async () => {
    const prose = Array.from({ length: 30 }, (_, n) => `Sentence ${n} of the needle's hay.`);
    prose[20] = "Here the needle meets a dragon.";
    await scene.folder.plant({ "a.md": `# Hay\n\n${prose.join("\n")}\n` });
    await scene.run();
    const ask = (request: object) =>
      scene.service.client.queryKnowledgeBase({ query: "needle", repoId: "repo", ...request });
    scene.peers.words = () => "dragon";
    const { passages } = await ask({
      query: "where is the dragon?",
      passageCharacters: 200,
      keepApart: true,
      topK: 2,
    });
    expect(passages).toHaveLength(2);
    expect(passages[0]?.content).toContain("dragon");
    for (const { content, startLine, endLine, section } of passages) {
      expect(content.length).toBeLessThanOrEqual(200);
      const lines = ["# Hay", "", ...prose].slice(startLine - 1, endLine);
      expect(content).toBe(lines.join("\n"));
      expect(section).toBe("Hay");
    }
    for (const passageCharacters of [-1, 199, 100_001]) {
      await expect(ask({ passageCharacters })).rejects.toMatchObject({
        code: Code.InvalidArgument,
      });
    }
  });

  it("answers by words alone while embedding is down", async () => {
    await scene.folder.plant({ "a.md": "# Words\n" });
    await scene.run();
    scene.peers.onEmbed = unavailable;
    const { passages } = await scene.service.client.queryKnowledgeBase({ query: "Words" });
    expect(passages).toMatchObject([{ filePath: "a.md" }]);
    expect(scene.peers.lastSearch?.mode).toBe(SearchMode.TEXT);
  });
});
