/** One of the two servers under comparison, in a process of its own: `node rpc-server.ts bare|layer`. */
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerWritableStream,
} from "@grpc/grpc-js";
import { silentLogger } from "../../shared/logging.ts";
import { HealthRegistry } from "../../shared/rpc/health.ts";
import { service, startRpcServer } from "../../shared/rpc/server.ts";
import { type Echo, EchoSchema, EchoService } from "../../shared/rpc/testing/echo.ts";
import { batchResponse, searchResponse, vectorMessage } from "./rpc-messages.ts";

const port = await (process.argv[2] === "bare" ? startBare() : startLayer());
process.send?.({ port });
process.on("disconnect", () => process.exit(0));

async function startLayer(): Promise<number> {
  const server = await startRpcServer({
    host: "127.0.0.1",
    port: 0,
    health: new HealthRegistry(),
    logger: silentLogger(),
    services: [
      service(EchoService, {
        unary: async () => searchResponse,
        async *serverStream({ count }) {
          for (let i = 0; i < count; i++) yield vectorMessage;
        },
        async *bidi(batches) {
          for await (const _ of batches) yield batchResponse;
        },
      }),
    ],
  });
  return server.port;
}

/** grpc-js as its own documentation has it: callbacks and streams, the same messages. */
function startBare(): Promise<number> {
  const server = new Server();
  const serialize = (message: Echo) => Buffer.from(toBinary(EchoSchema, message));
  const deserialize = (bytes: Buffer) => fromBinary(EchoSchema, bytes);
  const method = (name: string, requestStream: boolean, responseStream: boolean) => ({
    path: `/${EchoService.typeName}/${name}`,
    requestStream,
    responseStream,
    requestSerialize: serialize,
    requestDeserialize: deserialize,
    responseSerialize: serialize,
    responseDeserialize: deserialize,
  });
  server.addService(
    {
      Unary: method("Unary", false, false),
      ServerStream: method("ServerStream", false, true),
      Bidi: method("Bidi", true, true),
    },
    {
      Unary: (_call: unknown, callback: (error: null, value: Echo) => void) =>
        callback(null, create(EchoSchema, searchResponse)),
      ServerStream: streamVectors,
      Bidi: acknowledge,
    },
  );
  return new Promise((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
}

function streamVectors(call: ServerWritableStream<Echo, Echo>): void {
  let sent = 0;
  const more = () => {
    while (sent < call.request.count) {
      sent++;
      if (!call.write(vectorMessage)) return void call.once("drain", more);
    }
    call.end();
  };
  more();
}

function acknowledge(call: ServerDuplexStream<Echo, Echo>): void {
  call.on("data", () => {
    if (call.write(batchResponse)) return;
    call.pause();
    call.once("drain", () => call.resume());
  });
  call.on("end", () => call.end());
}
