import { fromBinary } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import { type Client, credentials, loadPackageDefinition } from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import { expect, test } from "vitest";
import { EmbeddingService } from "../gen/mahavishnu/embedding/v1/embedding_service_pb.js";
import { service } from "./service.ts";
import { startEcho } from "./testing/echo-server.ts";

// As grpcurl does it: a stock client that knows the reflection protocol and nothing else.

interface ReflectionReply {
  list_services_response?: { service: { name: string }[] };
  file_descriptor_response?: { file_descriptor_proto: Buffer[] };
  error_response?: { error_code: number };
}
interface ReflectionClient extends Client {
  ServerReflectionInfo(): {
    on(event: string, listener: (value: never) => void): void;
    write(request: object): void;
    end(): void;
  };
}
type ReflectionPackage = Record<
  string,
  { ServerReflection: new (address: string, credentials: object) => ReflectionClient }
>;

async function ask(version: string, address: string, request: object): Promise<ReflectionReply> {
  const proto = new URL(
    `../../node_modules/@grpc/reflection/build/proto/grpc/reflection/${version}/reflection.proto`,
    import.meta.url,
  );
  const loaded = loadPackageDefinition(loadSync(proto.pathname, { keepCase: true })) as never as {
    grpc: { reflection: ReflectionPackage };
  };
  const api = loaded.grpc.reflection[version];
  if (api === undefined) throw new Error(`no reflection ${version}`);
  const client = new api.ServerReflection(address, credentials.createInsecure());
  try {
    return await new Promise((resolve, reject) => {
      const call = client.ServerReflectionInfo();
      call.on("data", resolve);
      call.on("error", reject);
      call.write(request);
      call.end();
    });
  } finally {
    client.close();
  }
}

test.each(["v1", "v1alpha"])("lists all services, itself included: %s", async (version) => {
  await using echo = await startEcho(
    {},
    { services: [service(EmbeddingService, {})], authToken: "not needed for this" },
  );
  const reply = await ask(version, echo.server.address, { list_services: "*" });
  expect(reply.list_services_response?.service.map((s) => s.name).toSorted()).toEqual([
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
    "mahavishnu.embedding.v1.EmbeddingService",
  ]);
});

test.each(["v1", "v1alpha"])("describes a service with all it imports: %s", async (version) => {
  await using echo = await startEcho({}, { services: [service(EmbeddingService, {})] });
  for (const symbol of [EmbeddingService.typeName, `${EmbeddingService.typeName}.Embed`]) {
    const reply = await ask(version, echo.server.address, { file_containing_symbol: symbol });
    const files = (reply.file_descriptor_response?.file_descriptor_proto ?? []).map((bytes) =>
      fromBinary(FileDescriptorProtoSchema, bytes),
    );
    const names = files.map((file) => file.name);
    expect(names).toContain("mahavishnu/embedding/v1/embedding_service.proto");
    expect(
      files.flatMap((file) => file.dependency).filter((name) => !names.includes(name)),
    ).toEqual([]);
  }
  const missing = await ask(version, echo.server.address, { file_containing_symbol: "no.Such" });
  expect(missing.error_response?.error_code).toBe(5);
});
