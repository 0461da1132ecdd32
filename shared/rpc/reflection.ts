import { createRequire } from "node:module";
import { type DescFile, type DescService, toBinary } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import type { Server } from "@grpc/grpc-js";
import { loadSync, type PackageDefinition } from "@grpc/proto-loader";
import { ReflectionService } from "@grpc/reflection";
import { file_google_rpc_error_details } from "../gen/google/rpc/error_details_pb.js";
import { file_google_rpc_status } from "../gen/google/rpc/status_pb.js";

const protocols = ["v1", "v1alpha"] as const;

/**
 * Adds server reflection v1 and v1alpha, by the official package, which takes the descriptors of
 * generated code as well as those of loaded proto files. It lists the given services and itself.
 * Its calls do not pass our interceptors: it holds nobody's data and needs no token.
 */
export function addReflection(server: Server, services: readonly DescService[]): void {
  const own = Object.assign({}, ...protocols.map(loadProtocol)) as PackageDefinition;
  const files = new Map<string, DescFile>();
  for (const { file } of services) collect(file, files);
  // So that a client without files can read the details of errors too.
  collect(file_google_rpc_error_details, files);
  collect(file_google_rpc_status, files);
  // The service reads nothing of an entry but its descriptors.
  const hosted = {
    fileDescriptorProtos: [...files.values()].map((file) =>
      Buffer.from(toBinary(FileDescriptorProtoSchema, file.proto)),
    ),
  } as unknown as PackageDefinition[string];
  new ReflectionService(
    { ...own, hosted },
    {
      services: [
        ...services.map((service) => service.typeName),
        ...protocols.map((version) => `grpc.reflection.${version}.ServerReflection`),
      ],
    },
  ).addToServer(server);
}

function loadProtocol(version: string): PackageDefinition {
  const require = createRequire(import.meta.url);
  const directory = require.resolve("@grpc/reflection/package.json").replace(/package\.json$/, "");
  return loadSync(`${directory}build/proto/grpc/reflection/${version}/reflection.proto`);
}

function collect(file: DescFile, files: Map<string, DescFile>): void {
  if (files.has(file.name)) return;
  files.set(file.name, file);
  for (const dependency of file.dependencies) collect(dependency, files);
}
