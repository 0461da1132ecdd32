import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { FakeOpenAi } from "./fake-openai.ts";

let fake: FakeOpenAi;
beforeEach(async () => {
  fake = await FakeOpenAi.start({ key: "secret" });
});
afterEach(() => fake[Symbol.asyncDispose]());

interface Answer {
  readonly data: readonly { readonly embedding: readonly number[] }[];
}

async function ask(body: object, key = "secret", path = "embeddings") {
  const response = await fetch(`${fake.url}/v1/${path}`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  return { status: response.status, body: (await response.json()) as Answer };
}

const model = "bge-small-en-v1.5";

/** As the API reference of `/v1/embeddings` has it. */
describe("the fake OpenAI-compatible endpoint", () => {
  it("answers with a list of objects that carry their index, in no order", async () => {
    const { status, body } = await ask({ model, input: ["a", "b"], encoding_format: "float" });
    expect(status).toBe(200);
    expect(body).toMatchObject({
      object: "list",
      model,
      data: [
        { object: "embedding", index: 1 },
        { object: "embedding", index: 0 },
      ],
      usage: { prompt_tokens: expect.any(Number), total_tokens: expect.any(Number) },
    });
    expect(body.data[0]?.embedding).toHaveLength(384);
    expect((await ask({ model, input: "one" })).body.data).toHaveLength(1);
    const short = await ask({ model, input: ["a"], dimensions: 8 });
    expect(short.body.data[0]?.embedding).toHaveLength(8);
  });

  it("refuses with an error object", async () => {
    expect(await ask({ model, input: ["a"] }, "guess")).toMatchObject({
      status: 401,
      body: { error: { code: "invalid_api_key", message: expect.any(String) } },
    });
    expect((await ask({ model: "other", input: ["a"] })).status).toBe(404);
    expect((await ask({}, "secret", "nothing")).status).toBe(404);
    const long = await ask({ model, input: ["word ".repeat(600)] });
    expect(long).toMatchObject({
      status: 400,
      body: { error: { code: "context_length_exceeded" } },
    });
  });

  it("fails as it is told", async () => {
    fake.fail({ kind: "status", status: 503, times: 1 });
    expect((await ask({ model, input: ["a"] })).status).toBe(503);
    fake.fail({ kind: "wrong_count", times: 1 });
    expect((await ask({ model, input: ["a", "b"] })).body.data).toHaveLength(1);
    fake.fail({ kind: "reset", times: 1 });
    await expect(ask({ model, input: ["a"] })).rejects.toThrow();
  });
});
