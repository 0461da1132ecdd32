import { spawnSync } from "node:child_process";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { context, metrics, propagation, trace } from "@opentelemetry/api";
import { pino } from "pino";
import { afterEach, expect, test } from "vitest";
import { Resources } from "./lifecycle.ts";
import { startTelemetry } from "./telemetry.ts";

const resources = new Resources();
afterEach(async () => {
  await resources[Symbol.asyncDispose]();
  delete process.env["OTEL_EXPORTER_OTLP_ENDPOINT"];
});

const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

interface Sent {
  readonly path: string;
  readonly contentType: string | undefined;
  readonly body: string;
}

/** An OTLP receiver on loopback; one that hangs takes requests and never answers. */
async function receiver({ hangs = false } = {}): Promise<{ endpoint: string; sent: Sent[] }> {
  const sent: Sent[] = [];
  const server = createServer(async (request, response) => {
    const parts: Buffer[] = [];
    for await (const part of request) parts.push(part as Buffer);
    sent.push({
      path: request.url ?? "",
      contentType: request.headers["content-type"],
      body: Buffer.concat(parts).toString("latin1"),
    });
    if (!hangs) response.writeHead(200, { "content-type": "application/x-protobuf" }).end();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  resources.defer("receiver", async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  return { endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, sent };
}

test("sends traces and metrics under the process's own name, at the latest on disposal", async () => {
  const { endpoint, sent } = await receiver();
  const telemetry = await startTelemetry({
    service: "embedding",
    version: "9.8.7",
    otlpEndpoint: endpoint,
  });
  const remote = propagation.extract(context.active(), { traceparent });
  trace.getTracer("test").startActiveSpan("embed texts", {}, remote, (span) => {
    expect(trace.getActiveSpan()?.spanContext().traceId).toBe("0af7651916cd43dd8448eb211c80319c");
    span.end();
  });
  metrics.getMeter("test").createCounter("memory.store.count").add(3);
  await telemetry[Symbol.asyncDispose]();

  const traces = sent.find(({ path }) => path === "/v1/traces");
  const measured = sent.find(({ path }) => path === "/v1/metrics");
  expect(traces?.contentType).toBe("application/x-protobuf");
  expect(traces?.body).toContain("embed texts");
  expect(measured?.body).toContain("memory.store.count");
  for (const one of [traces, measured]) {
    for (const word of ["embedding", "mahavishnu", "9.8.7"]) expect(one?.body).toContain(word);
    expect(one?.body).not.toContain(process.argv[1]);
  }
  expect(trace.getTracer("test").startSpan("after").isRecording()).toBe(false);
});

test("a receiver that never answers holds the shutdown up no longer than its bound", async () => {
  const { endpoint, sent } = await receiver({ hangs: true });
  const lines: string[] = [];
  const logger = pino({ level: "warn" }, { write: (line: string) => void lines.push(line) });
  const telemetry = await startTelemetry({
    service: "embedding",
    otlpEndpoint: endpoint,
    logger,
    flushTimeoutMs: 200,
  });
  trace.getTracer("test").startSpan("lost").end();
  await telemetry[Symbol.asyncDispose]();
  expect(sent.map(({ path }) => path)).toContain("/v1/traces");
  expect(lines.join()).toContain("the last telemetry was not sent");
});

test("says once that nothing listens at the endpoint", async () => {
  const lines: string[] = [];
  const logger = pino({ level: "warn" }, { write: (line: string) => void lines.push(line) });
  const telemetry = await startTelemetry({
    service: "embedding",
    otlpEndpoint: "http://127.0.0.1:1",
    logger,
    flushTimeoutMs: 500,
  });
  trace.getTracer("test").startSpan("lost").end();
  await telemetry[Symbol.asyncDispose]();
  expect(lines.length).toBeGreaterThan(0);
});

test("without an endpoint the trace context is kept and passed on", async () => {
  const telemetry = await startTelemetry({ service: "memory" });
  const seen: Record<string, string> = {};
  const remote = propagation.extract(context.active(), { traceparent });
  await trace.getTracer("test").startActiveSpan("call", {}, remote, async (span) => {
    await new Promise((resolve) => setTimeout(resolve, 1));
    expect(trace.getActiveSpan()?.spanContext().traceId).toBe("0af7651916cd43dd8448eb211c80319c");
    expect(span.isRecording()).toBe(false);
    propagation.inject(context.active(), seen);
  });
  expect(seen).toEqual({ traceparent });
  await telemetry[Symbol.asyncDispose]();
  expect(trace.getSpanContext(propagation.extract(context.active(), { traceparent }))).toBe(
    undefined,
  );
});

test("without an endpoint the SDK is not even loaded", () => {
  const script = `
    import { registerHooks } from "node:module";
    const loaded = [];
    registerHooks({ load: (url, info, next) => (loaded.push(url), next(url, info)) });
    const { startTelemetry } = await import(${JSON.stringify(join(import.meta.dirname, "telemetry.ts"))});
    await using telemetry = await startTelemetry({ service: "memory" });
    console.log(loaded.filter((url) => url.includes("@opentelemetry")).join("\\n"));
  `;
  const { stdout, stderr } = spawnSync(process.execPath, ["--input-type=module", "-e", script], {
    encoding: "utf8",
  });
  expect(stderr).toBe("");
  expect(stdout).toContain("@opentelemetry/api");
  expect(stdout).not.toMatch(/@opentelemetry\/(sdk-|exporter-)/);
});
