import { SwitchedOffError } from "../../shared/errors.ts";
import type { IngestionService } from "../../shared/gen/mahavishnu/ingestion/v1/ingestion_service_pb.js";
import { type CallContext, callContext } from "../../shared/rpc/call-context.ts";
import type { ServiceImpl } from "../../shared/rpc/service.ts";
import {
  type ChunkDefaults,
  pageTokenOf,
  parseDocument,
  parseIngestionId,
  parseIngestRepository,
  parseListIngestions,
  parseQuestion,
  parseRepoId,
  parseStreamRepoId,
  toAnswer,
  toDocumentAnswer,
  toIngestion,
  toProgress,
} from "./convert.ts";
import { takeIn } from "./document-intake.ts";
import type { DocumentStream } from "./document-stream.ts";
import type { Ingestions } from "./ingestions.ts";
import type { KnowledgeBase } from "./knowledge-base.ts";
import { parseMigration, toMigrationProgress } from "./migration/convert.ts";
import type { Migrations } from "./migration/migrations.ts";
import type { Work } from "./ports.ts";

export interface HandlerParts {
  readonly ingestions: Ingestions;
  readonly knowledgeBase: KnowledgeBase;
  readonly migrations: Migrations;
  readonly openStream: (work: Work, repoId: string) => Promise<DocumentStream>;
  /** Of one stream of documents, worked on at the same time. */
  readonly parallelBatches: number;
  readonly chunkDefaults: ChunkDefaults;
  /** Off: QueryKnowledgeBase is refused. */
  readonly ragSearch: boolean;
  readonly onAnswered: (ms: number) => void;
  /** Work of a call that went wrong after the call had ended. */
  readonly onFault: (error: unknown) => void;
}

export function createHandlers(parts: HandlerParts): Partial<ServiceImpl<typeof IngestionService>> {
  const { ingestions, knowledgeBase, migrations, chunkDefaults, openStream } = parts;
  return {
    async *ingestRepository(request, context) {
      const call = callContext(context);
      const order = parseIngestRepository(request, chunkDefaults);
      const work = workOf(call);
      const id = await ingestions.start(work, order);
      if (!request.detached) {
        // Whoever asked for it and left has no more use for it; WatchIngestion is for onlookers.
        const why = "the call that asked for it was cancelled";
        const onAbort = () => {
          ingestions.stop({ tenant: call.tenant, id }, why).catch(parts.onFault);
        };
        call.signal.addEventListener("abort", onAbort, { once: true });
        if (call.signal.aborted) onAbort();
      }
      for await (const view of ingestions.follow(work, id)) {
        yield { progress: toProgress(view) };
      }
    },

    async *ingestDocuments(requests, context) {
      const call = callContext(context);
      const input = requests[Symbol.asyncIterator]();
      const first = await input.next();
      if (first.done) return;
      const repoId = parseStreamRepoId(first.value);
      const stream = await openStream(workOf(call), repoId);
      const incoming = (async function* () {
        yield parseDocument(first.value, repoId);
        for (let next = await input.next(); !next.done; next = await input.next()) {
          yield parseDocument(next.value, repoId);
        }
      })();
      let failure: unknown = new Error("the stream was left");
      try {
        const options = { parallelBatches: parts.parallelBatches, stopping: call.stopping };
        for await (const end of takeIn(incoming, stream, options)) {
          yield toDocumentAnswer(end);
        }
        failure = undefined;
      } catch (error) {
        failure = error;
        throw error;
      } finally {
        await stream.close(failure);
      }
    },

    async *watchIngestion(request, context) {
      const id = parseIngestionId(request.ingestionId);
      for await (const view of ingestions.follow(workOf(callContext(context)), id)) {
        yield { progress: toProgress(view) };
      }
    },

    async getIngestion(request, context) {
      const id = parseIngestionId(request.ingestionId);
      return { ingestion: toIngestion(await ingestions.get(workOf(callContext(context)), id)) };
    },

    async listIngestions(request, context) {
      const filter = parseListIngestions(request);
      // One more than asked for tells whether there is another page.
      const more = { ...filter, limit: filter.limit + 1 };
      const found = await ingestions.list(workOf(callContext(context)), more);
      const page = found.slice(0, filter.limit);
      const last = found.length > page.length ? page.at(-1) : undefined;
      return {
        ingestions: page.map(toIngestion),
        nextPageToken: last === undefined ? "" : pageTokenOf(last.id),
      };
    },

    async cancelIngestion(request, context) {
      const id = parseIngestionId(request.ingestionId);
      return { ingestion: toIngestion(await ingestions.cancel(workOf(callContext(context)), id)) };
    },

    async deleteRepository(request, context) {
      const repoId = parseRepoId(request.repoId);
      const work = workOf(callContext(context));
      const { chunks, ingestions: runs } = await ingestions.deleteRepository(work, repoId);
      return { deletedChunks: BigInt(chunks), deletedIngestions: BigInt(runs) };
    },

    async queryKnowledgeBase(request, context) {
      if (!parts.ragSearch) throw new SwitchedOffError("enable_rag_search");
      const question = parseQuestion(request);
      const begun = performance.now();
      const answer = await knowledgeBase.ask(workOf(callContext(context)), question);
      parts.onAnswered(performance.now() - begun);
      return toAnswer(answer);
    },

    async *migrateSessionBuddy(request, context) {
      const order = parseMigration(request);
      for await (const view of migrations.migrate(workOf(callContext(context)), order)) {
        yield toMigrationProgress(view);
      }
    },
  };
}

function workOf({ tenant, signal, deadline }: CallContext): Work {
  return {
    tenant,
    signal,
    ...(deadline === undefined ? {} : { timeoutMs: Math.max(1, deadline.getTime() - Date.now()) }),
  };
}
