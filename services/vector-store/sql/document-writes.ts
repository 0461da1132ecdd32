import {
  encodeBoolArray,
  encodeJsonbArray,
  encodeTextArray,
  encodeTimestamptzArray,
} from "../../../shared/postgres/array-codec.ts";
import type { Queryable } from "../../../shared/postgres/postgres.ts";
import { encodeVectorArray } from "../../../shared/postgres/vector-codec.ts";
import type { NewDocument, WriteResult } from "../document.ts";
import { WriteConflictError } from "../errors.ts";
import { contentKey, type Deduplication, type PlannedDocument, planWrite } from "../write-plan.ts";
import { asStored, type DocumentTable } from "./document-table.ts";
import { existingDocuments } from "./existing-documents.ts";
import { givenRows } from "./given-rows.ts";
import { insertPassages, withoutPassages } from "./passage-writes.ts";

/**
 * How often one transaction looks again after another writer was quicker. Every round but the
 * last follows a commit of somebody else on the same documents.
 */
const maxRounds = 10;

/** The writing of one request's documents, inside of a transaction unless said otherwise. */
export class DocumentWrites {
  readonly #tx: Queryable;
  readonly #table: DocumentTable;
  readonly #tenant: string;
  readonly #vectorOid: number;

  /** `vectorOid` is the object id of the type vector; `tx` ends with the call's signal. */
  constructor(tx: Queryable, table: DocumentTable, tenant: string, vectorOid: number) {
    this.#tx = tx;
    this.#table = table;
    this.#tenant = tenant;
    this.#vectorOid = vectorOid;
  }

  /** One result a document, in their order. */
  async run(documents: readonly NewDocument[]): Promise<WriteResult[]> {
    const results = new Map<number, WriteResult>();
    let pending = inLockOrder(
      documents.map((document, position) => ({ document, position, key: contentKey(document) })),
    );
    for (let round = 0; pending.length > 0; round++) {
      if (round === maxRounds) throw new WriteConflictError();
      pending = await this.#round(pending, results);
    }
    return documents.map((_, position) => {
      const result = results.get(position);
      if (result === undefined) throw new Error(`no result for document ${position}`);
      return result;
    });
  }

  /**
   * Inserts a document that has no passages, in one statement, which needs no transaction. False where
   * its id or its content is there.
   */
  async insertLone(document: NewDocument, signal: AbortSignal | undefined): Promise<boolean> {
    const planned = { document, position: 0, key: contentKey(document) };
    const { rows } = await this.#tx.query<{ id: string }>(
      { name: `insert_lone_${this.#table.name}`, text: insertText(this.#table) },
      [this.#tenant, ...this.#inputArrays([planned])],
      signal,
    );
    return rows.length > 0;
  }

  /** Does what can be done at once; returns the documents that are to be looked at again. */
  async #round(
    pending: readonly PlannedDocument[],
    results: Map<number, WriteResult>,
  ): Promise<PlannedDocument[]> {
    const existing = await existingDocuments(this.#tx, this.#table, this.#tenant, pending);
    const plan = planWrite(pending, existing);
    const again = [...plan.later];
    if (plan.removals.length > 0) await this.#removeExpired(plan.removals);
    for (const { position, id } of plan.refusals) {
      results.set(position, { outcome: "duplicate_content", id });
    }
    for (const wave of plan.updateWaves) {
      again.push(...settle(wave, await this.#update(wave), "updated", results));
    }
    if (plan.inserts.length > 0) {
      again.push(...settle(plan.inserts, await this.#insert(plan.inserts), "created", results));
    }
    await this.#fillHolders(plan.deduplications);
    for (const { position, id } of plan.deduplications) {
      results.set(position, { outcome: "deduplicated", id });
    }
    return inLockOrder(again);
  }

  async #removeExpired(ids: readonly string[]): Promise<void> {
    await this.#tx.query(
      `delete from ${this.#table.name} m using ${givenRows("$2::text[]", "id")}
      where m.tenant = i.tenant and m.id = i.id and m.expires_at <= now()`,
      [this.#tenant, encodeTextArray(ids)],
    );
  }

  /** Inserts those that no other writer has stored meanwhile; returns their ids. */
  async #insert(planned: readonly PlannedDocument[]): Promise<Set<string>> {
    const { rows } = await this.#tx.query<{ id: string }>(insertText(this.#table), [
      this.#tenant,
      ...this.#inputArrays(planned),
    ]);
    const written = new Set(rows.map((row) => row.id));
    await this.#insertPassages(planned.filter(({ document }) => written.has(document.id)));
    return written;
  }

  /** Replaces those that are still there; returns their ids. */
  async #update(planned: readonly PlannedDocument[]): Promise<Set<string>> {
    const { rows } = await this.#tx.query<{ id: string }>(
      `with ${withoutPassages(this.#table, vectorsGiven)}
      update ${this.#table.name} m set
        content = i.content,
        embedding = case
          when i.embedding is null and m.content_hash = i.content_hash then m.embedding
          else ${asStored(this.#table, "i.embedding")}
        end,
        memory_type = i.memory_type, source_system = i.source_system, agent_id = i.agent_id,
        workflow_id = i.workflow_id, repo_id = i.repo_id, metadata = i.metadata,
        content_hash = i.content_hash, dedup_scope = i.dedup_scope,
        created_at = case when i.created_at is null then m.created_at else least(i.created_at, now()) end,
        expires_at = i.expires_at, updated_at = now()
      from ${input}
      where m.tenant = i.tenant and m.id = i.id
      returning m.id`,
      [this.#tenant, ...this.#inputArrays(planned)],
    );
    const written = new Set(rows.map((row) => row.id));
    await this.#insertPassages(planned.filter(({ document }) => written.has(document.id)));
    return written;
  }

  /** Those that belong to the vectors of what was written, under the ids that have them now. */
  async #insertPassages(written: readonly (PlannedDocument | Deduplication)[]): Promise<void> {
    const documents = written.map((one) => ({
      ...one.document,
      id: "takesVector" in one ? one.id : one.document.id,
    }));
    await insertPassages(this.#tx, this.#table, this.#tenant, documents, this.#vectorOid);
  }

  /** Gives holders what they lack and their duplicates bring. */
  async #fillHolders(deduplications: readonly Deduplication[]): Promise<void> {
    const fills = deduplications.filter((one) => one.takesVector || one.takesExpiry);
    if (fills.length === 0) return;
    await this.#tx.query(
      `update ${this.#table.name} m set
        embedding = coalesce(m.embedding, ${asStored(this.#table, "i.embedding")}),
        expires_at = case when i.takes_expiry then i.expires_at else m.expires_at end,
        updated_at = now()
      from (
        -- One row a holder: two duplicates may bring one a vector, the other an expiry.
        select tenant, id,
          (array_agg(embedding) filter (where embedding is not null))[1] as embedding,
          bool_or(takes_expiry) as takes_expiry,
          max(expires_at) filter (where takes_expiry) as expires_at
        from ${givenRows(
          "$2::text[], $3::vector[], $4::boolean[], $5::timestamptz[]",
          "id, embedding, takes_expiry, expires_at",
        )}
        group by tenant, id
      ) i
      where m.tenant = i.tenant and m.id = i.id`,
      [
        this.#tenant,
        encodeTextArray(fills.map((one) => one.id)),
        this.#vectors(fills.map((one) => (one.takesVector ? one.document.vector : undefined))),
        encodeBoolArray(fills.map((one) => one.takesExpiry)),
        encodeTimestamptzArray(fills.map((one) => one.document.expireTime ?? null)),
      ],
    );
    await this.#insertPassages(fills.filter((one) => one.takesVector));
  }

  #inputArrays(planned: readonly PlannedDocument[]): Buffer[] {
    const documents = planned.map((one) => one.document);
    const texts = (value: (one: NewDocument) => string | undefined) =>
      encodeTextArray(documents.map((one) => value(one) ?? null));
    return [
      texts((one) => one.id),
      texts((one) => one.content),
      texts((one) => one.memoryType),
      texts((one) => one.sourceSystem),
      texts((one) => one.agentId),
      texts((one) => one.workflowId),
      texts((one) => one.repoId),
      encodeJsonbArray(documents.map((one) => one.metadata)),
      texts((one) => one.contentHash),
      texts((one) => one.dedupScope),
      encodeTimestamptzArray(documents.map((one) => one.createTime ?? null)),
      encodeTimestamptzArray(documents.map((one) => one.expireTime ?? null)),
      this.#vectors(documents.map((one) => one.vector)),
    ];
  }

  #vectors(vectors: readonly NewDocument["vector"][]): Buffer {
    return encodeVectorArray(
      vectors.map((one) => one ?? null),
      this.#vectorOid,
    );
  }
}

/**
 * Parameters 2 to 14 as rows. The vectors, most of it all, come last: whatever followed them would
 * make node-postgres copy them into a larger message.
 */
const inputColumns =
  "id, content, memory_type, source_system, agent_id, workflow_id, repo_id, metadata, " +
  "content_hash, dedup_scope, created_at, expires_at, embedding";

const input = givenRows(
  "$2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], " +
    "$9::jsonb[], $10::text[], $11::text[], $12::timestamptz[], $13::timestamptz[], $14::vector[]",
  inputColumns,
);

const insertText = (table: DocumentTable) =>
  `insert into ${table.name} (tenant, ${inputColumns}, updated_at)
  select i.tenant, i.id, i.content, i.memory_type, i.source_system, i.agent_id, i.workflow_id,
    i.repo_id, i.metadata, i.content_hash, i.dedup_scope, least(i.created_at, now()), i.expires_at,
    ${asStored(table, "i.embedding")}, now()
  from ${input}
  on conflict do nothing
  returning id`;

/** Of the same rows what decides about their passages. */
const vectorsGiven = givenRows(
  "$2::text[], $10::text[], $14::vector[]",
  "id, content_hash, embedding",
);

/** Notes the outcome of those whose id was written; returns the others. */
function settle(
  planned: readonly PlannedDocument[],
  written: ReadonlySet<string>,
  outcome: "created" | "updated",
  results: Map<number, WriteResult>,
): PlannedDocument[] {
  const others: PlannedDocument[] = [];
  for (const one of planned) {
    const { id } = one.document;
    if (written.has(id)) results.set(one.position, { outcome, id });
    else others.push(one);
  }
  return others;
}

/**
 * All writers take the entries of the content index in the same order, and so wait for each other
 * without ever waiting in a circle.
 */
function inLockOrder(planned: readonly PlannedDocument[]): PlannedDocument[] {
  return planned.toSorted((a, b) => {
    if (a.key !== b.key) return a.key < b.key ? -1 : 1;
    return a.position - b.position;
  });
}
