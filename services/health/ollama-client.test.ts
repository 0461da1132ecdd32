import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, expect, test } from "vitest";
import { Resources } from "../../shared/lifecycle.ts";
import type { ComponentHealth } from "./component-health.ts";
import { HealthChecker } from "./health-checker.ts";
import { type OllamaOptions, ollamaComponent } from "./ollama-client.ts";

const resources = new Resources();
afterEach(() => resources[Symbol.asyncDispose]());

async function serve(listener: RequestListener): Promise<number> {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  resources.defer("server", async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  return (server.address() as AddressInfo).port;
}

async function probe(
  url: string,
  use: OllamaOptions["use"] = "preferred",
): Promise<ComponentHealth | undefined> {
  const lifetime = new AbortController().signal;
  const bounds = { timeoutMs: 300, reuseMs: 0, lifetime };
  const report = await new HealthChecker([ollamaComponent({ url, use })], bounds).report();
  return report.components[0];
}

test("asks for the version, with credentials that are never shown", async () => {
  const seen: unknown[] = [];
  const port = await serve((request, response) => {
    seen.push(request.url, request.headers.authorization);
    response.end('{"version":"0.13.5"}');
  });
  expect(await probe(`http://me:se%20cret@127.0.0.1:${port}/proxy/`)).toMatchObject({
    status: "healthy",
    message: "Ollama 0.13.5",
    metadata: { address: `http://127.0.0.1:${port}/proxy`, version: "0.13.5" },
  });
  expect(seen).toEqual([
    "/proxy/api/version",
    `Basic ${Buffer.from("me:se cret").toString("base64")}`,
  ]);
});

test("is degraded and never unhealthy when it does not answer", async () => {
  expect(await probe("http://127.0.0.1:1")).toMatchObject({
    status: "degraded",
    message: "not reachable; the built-in lexical embedder answers",
  });
  expect(await probe("http://127.0.0.1:1", "required")).toMatchObject({
    status: "degraded",
    message: "not reachable; texts are embedded once it answers",
  });
  const hanging = await serve(() => {});
  expect(await probe(`http://127.0.0.1:${hanging}`)).toMatchObject({
    status: "degraded",
    message: "did not answer within 300 ms; the built-in lexical embedder answers",
  });
});

test("is degraded when something else answers", async () => {
  const answers: [number, string, string][] = [
    [503, "busy", "answers HTTP 503"],
    [200, "<html>", "does not answer as Ollama does"],
    [200, '{"version":7}', "does not answer as Ollama does"],
    [200, "x".repeat(1_000_000), "does not answer as Ollama does"],
  ];
  for (const [status, body, why] of answers) {
    const port = await serve((_, response) => response.writeHead(status).end(body));
    expect(await probe(`http://127.0.0.1:${port}`)).toMatchObject({
      status: "degraded",
      message: `${why}; the built-in lexical embedder answers`,
    });
  }
});

test("is not asked where the configuration does not use it", async () => {
  expect(await probe("http://127.0.0.1:1", "unused")).toMatchObject({
    status: "healthy",
    message: "not used: another embedder is configured",
  });
});
