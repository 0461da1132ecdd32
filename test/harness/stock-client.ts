import { resolve } from "node:path";
import * as grpc from "@grpc/grpc-js";
import { loadSync, type PackageDefinition } from "@grpc/proto-loader";

/**
 * A client such as any caller would write: grpc-js and proto-loader on the .proto files, nothing
 * of this project's code.
 */
const root = resolve(import.meta.dirname, "../..");

const definition: PackageDefinition = loadSync(
  [
    "mahavishnu/embedding/v1/embedding_service.proto",
    "mahavishnu/vectorstore/v1/vectorstore_service.proto",
    "mahavishnu/memory/v1/memory_service.proto",
    "mahavishnu/ingestion/v1/ingestion_service.proto",
    "mahavishnu/sessionbuddy/v1/sessionbuddy_service.proto",
    "mahavishnu/health/v1/health_service.proto",
    "google/rpc/error_details.proto",
    "google/rpc/status.proto",
    "health/v1/health.proto",
  ],
  {
    includeDirs: [
      resolve(root, "proto"),
      resolve(root, "node_modules/google-proto-files"),
      resolve(root, "node_modules/grpc-health-check/proto"),
    ],
    keepCase: true,
    enums: String,
    longs: Number,
    defaults: true,
    oneofs: true,
  },
);

/** A message as proto-loader gives it: proto field names, enums as names. */
export type PlainMessage = Record<string, unknown>;

export class StockClient implements Disposable {
  readonly #client: grpc.Client;
  readonly #methods: Record<string, grpc.MethodDefinition<object, object>>;

  constructor(address: string, service: string) {
    this.#client = new grpc.Client(address, grpc.credentials.createInsecure());
    this.#methods = definition[service] as unknown as Record<
      string,
      grpc.MethodDefinition<object, object>
    >;
  }

  unary<T = PlainMessage>(
    method: string,
    request: PlainMessage,
    { timeoutMs = 20_000, metadata = {} as Record<string, string> } = {},
  ): Promise<T> {
    const { path, requestSerialize, responseDeserialize } = this.#method(method);
    return new Promise((resolveCall, reject) => {
      this.#client.makeUnaryRequest(
        path,
        requestSerialize,
        responseDeserialize,
        request,
        metadataOf(metadata),
        { deadline: Date.now() + timeoutMs },
        (error, response) => (error === null ? resolveCall(response as T) : reject(error)),
      );
    });
  }

  serverStream(method: string, request: PlainMessage): grpc.ClientReadableStream<object> {
    const { path, requestSerialize, responseDeserialize } = this.#method(method);
    return this.#client.makeServerStreamRequest(
      path,
      requestSerialize,
      responseDeserialize,
      request,
    );
  }

  bidi(method: string): grpc.ClientDuplexStream<object, object> {
    const { path, requestSerialize, responseDeserialize } = this.#method(method);
    return this.#client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize);
  }

  get methodNames(): string[] {
    return Object.values(this.#methods).map(({ path }) => path.slice(path.lastIndexOf("/") + 1));
  }

  /** The status code of a call of any kind whose request has nothing set. */
  codeOfEmptyCall(method: string): Promise<number> {
    const { requestStream, responseStream } = this.#method(method);
    if (!requestStream && !responseStream) {
      return this.unary(method, {}).then(
        () => 0,
        (error: grpc.ServiceError) => error.code,
      );
    }
    return new Promise((resolveCode) => {
      const duplex = requestStream ? this.bidi(method) : undefined;
      duplex?.end({});
      const stream = duplex ?? this.serverStream(method, {});
      stream.on("error", () => {});
      stream.on("status", ({ code }: grpc.StatusObject) => resolveCode(code));
      // An endless stream that answers is served.
      stream.once("data", () => {
        resolveCode(0);
        stream.cancel();
      });
    });
  }

  [Symbol.dispose](): void {
    this.#client.close();
  }

  #method(name: string): grpc.MethodDefinition<object, object> {
    const found = this.#methods[name];
    if (found === undefined) throw new Error(`no method is named ${name}`);
    return found;
  }
}

/** The details of a failed call, by the short name of their type. */
export function errorDetails(error: unknown): Record<string, PlainMessage> {
  const bytes = (error as grpc.ServiceError).metadata.get("grpc-status-details-bin")[0];
  if (!Buffer.isBuffer(bytes)) return {};
  const status = decode("google.rpc.Status", bytes) as {
    details: { type_url: string; value: Buffer }[];
  };
  return Object.fromEntries(
    status.details.map(({ type_url, value }) => {
      const name = type_url.slice(type_url.lastIndexOf("/") + 1);
      return [name.replace("google.rpc.", ""), decode(name, value)];
    }),
  );
}

function decode(type: string, bytes: Buffer): PlainMessage {
  const { deserialize } = (
    definition as unknown as Record<string, { deserialize(bytes: Buffer): PlainMessage }>
  )[type] as { deserialize(bytes: Buffer): PlainMessage };
  return deserialize(bytes);
}

function metadataOf(entries: Record<string, string>): grpc.Metadata {
  const metadata = new grpc.Metadata();
  for (const [key, value] of Object.entries(entries)) metadata.set(key, value);
  return metadata;
}
