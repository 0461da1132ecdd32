import type { MessageInitShape } from "@bufbuild/protobuf";
import { type Client, ConnectError } from "@connectrpc/connect";
import { afterAll, beforeAll } from "vitest";
import {
  BadRequestSchema,
  ErrorInfoSchema,
} from "../../../shared/gen/google/rpc/error_details_pb.js";
import { MemoryType } from "../../../shared/gen/mahavishnu/type/v1/memory_type_pb.js";
import type { DocumentSchema } from "../../../shared/gen/mahavishnu/vectorstore/v1/document_pb.js";
import type { VectorStoreService } from "../../../shared/gen/mahavishnu/vectorstore/v1/vectorstore_service_pb.js";
import { rejection } from "../../../shared/rpc/testing/conditions.ts";
import { testDatabase } from "../../../test/harness/postgres.ts";
import { startedClient } from "./running-store.ts";

export type DocumentInit = MessageInitShape<typeof DocumentSchema>;

export const model = "model-a";

export function document(content: string, given: DocumentInit = {}): DocumentInit {
  return { content, memoryType: MemoryType.RAG, sourceSystem: "test", ...given };
}

/** The error with which the call fails, and the fields that its BadRequest names. */
export async function refusal(call: Promise<unknown>) {
  const error = ConnectError.from(await rejection(call));
  const [info] = error.findDetails(ErrorInfoSchema);
  const fields = error
    .findDetails(BadRequestSchema)
    .flatMap((one) => one.fieldViolations.map((violation) => violation.field));
  return { code: error.code, reason: info?.reason, metadata: info?.metadata, fields };
}

/** The vector store's process on PGlite, one for all tests of a suite. */
export class ServiceSuite {
  readonly #stack = new AsyncDisposableStack();
  #client: Client<typeof VectorStoreService> | undefined;
  #tenants = 0;

  /** Declares the hooks; call it at the top of a suite. */
  constructor() {
    beforeAll(async () => {
      const database = await testDatabase("pglite");
      this.#stack.defer(() => database.close());
      this.#client = await startedClient(this.#stack, database.url);
    });
    afterAll(() => this.#stack.disposeAsync());
  }

  get client(): Client<typeof VectorStoreService> {
    if (this.#client === undefined) throw new Error("the service is there in hooks and tests");
    return this.#client;
  }

  /** Options of calls of a tenant that nobody else is. */
  readonly newTenant = () => ({ headers: { "x-mahavishnu-tenant": `tenant-${++this.#tenants}` } });
}
