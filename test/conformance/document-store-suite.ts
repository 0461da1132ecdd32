import { beforeAll } from "vitest";
import { maxAnswerBytes } from "../../services/vector-store/answer-budget.ts";
import type { NewDocument } from "../../services/vector-store/document.ts";
import { PostgresDocumentStore } from "../../services/vector-store/postgres-store.ts";
import type { Postgres } from "../../shared/postgres/postgres.ts";
import type { TestDatabase } from "../harness/postgres.ts";
import { collection, model, writeOf } from "./document-store-samples.ts";

/** A list of all documents, with their vectors. */
export const everything = {
  filter: undefined,
  after: undefined,
  limit: 1_000,
  includeVectors: true,
};

/** A search that leaves nothing out. */
export const unbound = {
  filter: undefined,
  limit: 10,
  minScore: 0,
  model,
  includeVectors: false,
  maxBytes: maxAnswerBytes,
};

/** The document store on the database of `describeEachStore`, and what its tests do with it. */
export class DocumentStoreSuite {
  #parts: { readonly postgres: Postgres; readonly store: PostgresDocumentStore } | undefined;
  #tenants = 0;

  /** Declares the hooks; call it at the top of a suite. */
  constructor(database: () => TestDatabase) {
    beforeAll(() => {
      const postgres = database().open();
      this.#parts = { postgres, store: new PostgresDocumentStore(postgres) };
    });
  }

  get postgres(): Postgres {
    return this.#open().postgres;
  }

  get store(): PostgresDocumentStore {
    return this.#open().store;
  }

  /** Each case has a tenant of its own, and so an empty store. */
  readonly newTenant = () => `tenant-${++this.#tenants}`;

  readonly write = (tenant: string, ...documents: NewDocument[]) =>
    this.store.write(tenant, writeOf(...documents));

  readonly read = async (tenant: string, id: string) => {
    const [found] = await this.store.get(tenant, collection, [id], true);
    if (found === undefined) throw new Error(`${id} is not there`);
    return found;
  };

  readonly idsOf = async (tenant: string) =>
    (await this.store.list(tenant, collection, everything)).documents.map((one) => one.id);

  #open() {
    if (this.#parts === undefined) throw new Error("the store is there in hooks and tests");
    return this.#parts;
  }
}
