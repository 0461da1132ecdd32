import { create, createFileRegistry, type Message, toBinary } from "@bufbuild/protobuf";
import type { GenMessage, GenService } from "@bufbuild/protobuf/codegenv2";
import {
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
  FieldDescriptorProto_Label as Label,
  FieldDescriptorProto_Type as Type,
} from "@bufbuild/protobuf/wkt";

/** The message of all methods, as request and as response. */
export type Echo = Message<"mahavishnu.testing.v1.Echo"> & {
  text: string;
  payload: Uint8Array;
  count: number;
  values: number[];
  parts: Echo[];
};

type Method<Kind> = { methodKind: Kind; input: GenMessage<Echo>; output: GenMessage<Echo> };

const { OPTIONAL, REPEATED } = Label;
const echo = ".mahavishnu.testing.v1.Echo";

// A service with methods of all four kinds, for tests and benchmarks of the RPC layer. Described
// here instead of in a proto file, so that it stays out of the contract and its generated code.
const file = create(FileDescriptorProtoSchema, {
  name: "mahavishnu/testing/v1/echo.proto",
  package: "mahavishnu.testing.v1",
  syntax: "proto3",
  messageType: [
    {
      name: "Echo",
      field: [
        { name: "text", number: 1, label: OPTIONAL, type: Type.STRING },
        { name: "payload", number: 2, label: OPTIONAL, type: Type.BYTES },
        { name: "count", number: 3, label: OPTIONAL, type: Type.INT32 },
        { name: "values", number: 4, label: REPEATED, type: Type.FLOAT },
        { name: "parts", number: 5, label: REPEATED, type: Type.MESSAGE, typeName: echo },
      ],
    },
  ],
  service: [
    {
      name: "EchoService",
      method: [
        { name: "Unary", inputType: echo, outputType: echo },
        { name: "ServerStream", inputType: echo, outputType: echo, serverStreaming: true },
        { name: "ClientStream", inputType: echo, outputType: echo, clientStreaming: true },
        {
          name: "Bidi",
          inputType: echo,
          outputType: echo,
          clientStreaming: true,
          serverStreaming: true,
        },
      ],
    },
  ],
});

const files = create(FileDescriptorSetSchema, { file: [file] });
const registry = createFileRegistry(files);

export const EchoSchema = registry.getMessage("mahavishnu.testing.v1.Echo") as GenMessage<Echo>;

export const EchoService = registry.getService("mahavishnu.testing.v1.EchoService") as GenService<{
  unary: Method<"unary">;
  serverStream: Method<"server_streaming">;
  clientStream: Method<"client_streaming">;
  bidi: Method<"bidi_streaming">;
}>;

/** The same as bytes of a FileDescriptorSet, as stock clients load it. */
export const echoDescriptors = Buffer.from(toBinary(FileDescriptorSetSchema, files));
