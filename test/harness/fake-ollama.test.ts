import { Ollama } from "ollama";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { FakeOllama } from "./fake-ollama.ts";

let fake: FakeOllama;
let ollama: Ollama;
beforeEach(async () => {
  fake = await FakeOllama.start();
  ollama = new Ollama({ host: fake.url });
});
afterEach(() => fake[Symbol.asyncDispose]());

const model = "nomic-embed-text";

/** The real client of Ollama is the judge of whether the fake speaks its protocol. */
describe("the fake Ollama", () => {
  it("tells what it has", async () => {
    expect((await ollama.version()).version).toMatch(/^\d+\.\d+\.\d+$/);
    expect((await ollama.list()).models.map(({ name }) => name)).toEqual([`${model}:latest`]);
    const shown = await ollama.show({ model });
    expect(shown.capabilities).toEqual(["embedding"]);
    expect(shown.model_info).toMatchObject({ "nomic-bert.embedding_length": 768 });
    await expect(ollama.show({ model: "unknown" })).rejects.toThrow("not found");
  });

  it("gives the same text the same vector of length 1, and near ones to texts that share words", async () => {
    const input = ["red apple", "red apple", "red pear", "blue sky"];
    const { embeddings } = await ollama.embed({ model, input });
    const [apple = [], again, pear = [], sky = []] = embeddings;
    expect(apple).toHaveLength(768);
    expect(apple).toEqual(again);
    expect(dot(apple, apple)).toBeCloseTo(1, 6);
    expect(dot(apple, pear)).toBeGreaterThan(dot(apple, sky) + 0.2);
    expect((await ollama.embed({ model, input: "one text" })).embeddings).toHaveLength(1);
    expect((await ollama.embed({ model, input: [] })).embeddings).toEqual([]);
  });

  it("pulls a model in steps", async () => {
    const steps: string[] = [];
    for await (const { status } of await ollama.pull({ model: "another", stream: true })) {
      steps.push(status);
    }
    expect(steps.at(-1)).toBe("success");
    expect(fake.models.map(({ name }) => name)).toContain("another:latest");
  });

  it("refuses what does not fit into the context, or cuts it", async () => {
    const input = "word ".repeat(3_000);
    await expect(ollama.embed({ model, input })).rejects.toThrow("exceeds the context length");
    await using cutting = await FakeOllama.start({ refusesLongTexts: false });
    const { embeddings } = await new Ollama({ host: cutting.url }).embed({ model, input });
    expect(embeddings).toHaveLength(1);
  });

  it("fails as it is told, as often as it is told", async () => {
    fake.fail({ kind: "status", status: 503, times: 1 });
    fake.fail({ kind: "wrong_count", times: 1 });
    fake.fail({ kind: "null", marker: "bad" });
    await expect(ollama.embed({ model, input: ["a"] })).rejects.toMatchObject({ status_code: 503 });
    expect((await ollama.embed({ model, input: ["a", "b"] })).embeddings).toHaveLength(1);
    const { embeddings } = await ollama.embed({ model, input: ["good", "bad"] });
    expect(embeddings.map((vector) => vector.includes(null as never))).toEqual([false, true]);
    for (const kind of ["reset", "cut_off", "not_json"] as const) {
      fake.heal();
      fake.fail({ kind });
      await expect(ollama.embed({ model, input: ["a"] })).rejects.toThrow();
    }
    fake.heal();
    fake.models.length = 0;
    await expect(ollama.embed({ model, input: ["a"] })).rejects.toMatchObject({ status_code: 404 });
    expect((await fetch(`${fake.url}/api/nothing`)).status).toBe(404);
  });
});

function dot(a: readonly number[], b: readonly number[]): number {
  return a.reduce((sum, value, i) => sum + value * (b[i] ?? 0), 0);
}
