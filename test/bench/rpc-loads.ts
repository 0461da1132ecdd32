import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { createClient } from "@connectrpc/connect";
import { Client, credentials } from "@grpc/grpc-js";
import { createGrpcTransport } from "../../shared/rpc/client.ts";
import { type Echo, EchoSchema, EchoService } from "../../shared/rpc/testing/echo.ts";
import { batchRequest, searchRequest } from "./rpc-messages.ts";

/** The three shapes of calls, by whatever client; each resolves when the calls are done. */
export interface EchoLoad {
  unary(): Promise<unknown>;
  serverStream(messages: number): Promise<void>;
  bidi(messages: number): Promise<void>;
  close(): void;
}

const serialize = (message: Echo) => Buffer.from(toBinary(EchoSchema, message));
const deserialize = (bytes: Buffer) => fromBinary(EchoSchema, bytes);
const pathOf = (name: string) => `/${EchoService.typeName}/${name}`;

/** grpc-js's own client. */
export function bareLoad(address: string): EchoLoad {
  const client = new Client(address, credentials.createInsecure());
  return {
    unary: () =>
      new Promise((resolve, reject) => {
        client.makeUnaryRequest(
          pathOf("Unary"),
          serialize,
          deserialize,
          searchRequest,
          (error, value) => (error === null ? resolve(value) : reject(error)),
        );
      }),
    serverStream: (messages) =>
      new Promise((resolve, reject) => {
        const call = client.makeServerStreamRequest(
          pathOf("ServerStream"),
          serialize,
          deserialize,
          { ...searchRequest, count: messages },
        );
        let received = 0;
        call.on("data", () => received++);
        call.on("error", reject);
        call.on("end", () => ended(received, messages, resolve, reject));
      }),
    bidi: (messages) =>
      new Promise((resolve, reject) => {
        const call = client.makeBidiStreamRequest(pathOf("Bidi"), serialize, deserialize);
        let received = 0;
        let sent = 0;
        const more = () => {
          while (sent < messages) {
            sent++;
            if (!call.write(batchRequest)) return void call.once("drain", more);
          }
          call.end();
        };
        call.on("data", () => received++);
        call.on("error", reject);
        call.on("end", () => ended(received, messages, resolve, reject));
        more();
      }),
    close: () => client.close(),
  };
}

/** The layer's client. */
export function layerLoad(address: string): EchoLoad {
  const transport = createGrpcTransport({ address });
  const client = createClient(EchoService, transport);
  return {
    unary: () => client.unary(searchRequest),
    async serverStream(messages) {
      let received = 0;
      for await (const _ of client.serverStream({ ...searchRequest, count: messages })) received++;
      if (received !== messages) throw new Error(`received ${received} of ${messages}`);
    },
    async bidi(messages) {
      let received = 0;
      for await (const _ of client.bidi(batches(messages))) received++;
      if (received !== messages) throw new Error(`received ${received} of ${messages}`);
    },
    close: () => transport.close(),
  };
}

async function* batches(count: number): AsyncGenerator<Echo> {
  for (let i = 0; i < count; i++) yield batchRequest;
}

function ended(
  received: number,
  expected: number,
  resolve: () => void,
  reject: (error: Error) => void,
): void {
  if (received === expected) resolve();
  else reject(new Error(`received ${received} of ${expected}`));
}
