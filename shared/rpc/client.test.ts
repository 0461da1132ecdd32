import { Code, type ConnectError } from "@connectrpc/connect";
import { describe, expect, test } from "vitest";
import { DomainError } from "../errors.ts";
import { EmbeddingService } from "../gen/mahavishnu/embedding/v1/embedding_service_pb.js";
import { VectorStoreService } from "../gen/mahavishnu/vectorstore/v1/vectorstore_service_pb.js";
import { sleep } from "../lifecycle.ts";
import { createClient, createGrpcTransport } from "./client.ts";
import { reasonOf } from "./peer-errors.ts";
import { isRetryable, RetryBudget, withRetries } from "./retry.ts";
import { service } from "./service.ts";
import { drain, rejection } from "./testing/conditions.ts";
import { EchoService } from "./testing/echo.ts";
import { startEcho } from "./testing/echo-server.ts";

const down = (retryAfterMs?: number) =>
  new DomainError("unavailable", "DEPENDENCY_UNAVAILABLE", "down", {
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  });

describe("retries", () => {
  test("only what the contract calls idempotent", () => {
    expect(isRetryable(EmbeddingService.method.embed)).toBe(true);
    expect(isRetryable(VectorStoreService.method.upsertDocuments)).toBe(
      VectorStoreService.method.upsertDocuments.idempotency !== 0,
    );
    expect(isRetryable(EchoService.method.unary)).toBe(false);
  });

  test("an idempotent unary call on UNAVAILABLE, and no other", async () => {
    let embeds = 0;
    await using echo = await startEcho(
      {},
      {
        services: [
          service(EmbeddingService, {
            embed: ({ model }) => {
              embeds++;
              if (model !== "") throw new DomainError("not_found", "MODEL_NOT_FOUND", model);
              if (embeds < 3) throw down(1);
              return { model: "third time" };
            },
          }),
        ],
      },
    );
    const client = createClient(EmbeddingService, echo.transport);
    expect((await client.embed({})).model).toBe("third time");
    await rejection(client.embed({ model: "x" }));
    expect(embeds).toBe(4);
  });

  test("not a call that may have had an effect", async () => {
    let calls = 0;
    await using echo = await startEcho({
      unary: () => {
        calls++;
        throw down();
      },
    });
    await rejection(echo.client.unary({}));
    expect(calls).toBe(1);
  });

  const never = new AbortController().signal;
  const quick = { initialBackoffMs: 1, maxBackoffMs: 2 };
  const unavailable = async () => {
    const { ConnectError: Thrown } = await import("@connectrpc/connect");
    throw new Thrown("down", Code.Unavailable);
  };

  test("stop after the last attempt, at the deadline, and when the caller aborts", async () => {
    let attempts = 0;
    const attempt = () => {
      attempts++;
      return unavailable();
    };
    await rejection(withRetries(attempt, new RetryBudget(), quick, Infinity, never));
    expect(attempts).toBe(3);
    const slow = { initialBackoffMs: 1e6, maxBackoffMs: 1e6 };
    await rejection(withRetries(attempt, new RetryBudget(), slow, Date.now() + 1, never));
    expect(attempts).toBe(4);
    const waiting = withRetries(attempt, new RetryBudget(), slow, Infinity, AbortSignal.timeout(5));
    expect(((await rejection(waiting)) as ConnectError).code).toBe(Code.Unavailable);
    expect(attempts).toBe(5);
  });

  test("stop when the budget is spent, and resume when calls succeed again", async () => {
    const budget = new RetryBudget();
    let attempts = 0;
    const attempt = () => {
      attempts++;
      return unavailable();
    };
    for (let call = 0; call < 10; call++) {
      await rejection(withRetries(attempt, budget, quick, Infinity, never));
    }
    expect(attempts).toBeLessThan(15);
    expect(budget.allows).toBe(false);
    for (let call = 0; call < 100; call++) {
      await withRetries(async () => {}, budget, quick, Infinity, never);
    }
    expect(budget.allows).toBe(true);
  });
});

describe("a transport", () => {
  test("tells at once that nobody listens, and finds the peer when it is back", async () => {
    const gone = await startEcho({});
    const { port } = gone.server;
    await gone[Symbol.asyncDispose]();
    using transport = createGrpcTransport({ address: `127.0.0.1:${port}` });
    const client = createClient(EchoService, transport);
    expect(((await rejection(client.unary({}))) as ConnectError).code).toBe(Code.Unavailable);
    await using _back = await startEcho({ unary: () => ({ text: "back" }) }, { port });
    await expect
      .poll(() => client.unary({}).then((reply) => reply.text, String), { timeout: 5_000 })
      .toBe("back");
  });

  test("takes a dns target", async () => {
    await using echo = await startEcho({ unary: () => ({ text: "resolved" }) });
    using transport = createGrpcTransport({ address: `dns:///localhost:${echo.server.port}` });
    expect((await createClient(EchoService, transport).unary({})).text).toBe("resolved");
  });

  test("that is closed makes no calls", async () => {
    await using echo = await startEcho({ unary: () => ({}) });
    await echo.client.unary({});
    echo.transport.close();
    expect((await rejection(echo.client.unary({}))) as ConnectError).toMatchObject({
      name: "ConnectError",
      code: Code.Unavailable,
    });
    expect((await drain(echo.client.serverStream({}))).error).toMatchObject({
      code: Code.Unavailable,
    });
  });

  test("runs extra interceptors around the call", async () => {
    const seen: string[] = [];
    await using echo = await startEcho(
      { unary: (_request, context) => ({ text: context.requestHeader.get("x-extra") ?? "" }) },
      {},
      {
        interceptors: [
          (next) => async (request) => {
            request.header.set("x-extra", "yes");
            const response = await next({ ...request });
            seen.push(response.method.name);
            return response;
          },
        ],
      },
    );
    expect((await echo.client.unary({})).text).toBe("yes");
    expect(seen).toEqual(["Unary"]);
  });

  test("answers what the peer answers, while it reads slowly", async () => {
    await using echo = await startEcho({
      async *serverStream() {
        for (let count = 0; count < 100; count++) yield { count };
        throw new DomainError("aborted", "CONFLICT", "at the end");
      },
    });
    const seen: number[] = [];
    const error = await rejection(
      (async () => {
        for await (const { count } of echo.client.serverStream({})) {
          seen.push(count);
          if (count % 10 === 0) await sleep(1);
        }
      })(),
    );
    expect(reasonOf(error)).toBe("CONFLICT");
    // grpc-js drops what a client has not yet taken when a call fails; what came is in order.
    expect(seen).toEqual(Array.from({ length: seen.length }, (_, i) => i));
  });
});
