import type { Postgres } from "../../shared/postgres/postgres.ts";
import { PostgresConversationStore } from "./sql/conversation-store.ts";
import { PostgresDeletionStore } from "./sql/deletion-store.ts";
import { PostgresOperationStore } from "./sql/operation-store.ts";
import { PostgresOutboxStore } from "./sql/outbox-store.ts";
import { PostgresUpdateStore } from "./sql/update-store.ts";
import { PostgresWorkflowStore } from "./sql/workflow-store.ts";
import type { MemoryStore } from "./store.ts";

/** What the memory service keeps in PostgreSQL; one class for each part of the interface. */
export function postgresStore(postgres: Postgres): MemoryStore {
  const operations = new PostgresOperationStore(postgres);
  const conversations = new PostgresConversationStore(postgres);
  const workflows = new PostgresWorkflowStore(postgres);
  const outbox = new PostgresOutboxStore(postgres);
  const updates = new PostgresUpdateStore(postgres);
  const deletions = new PostgresDeletionStore(postgres);
  return {
    begin: operations.begin.bind(operations),
    finish: operations.finish.bind(operations),
    endSoon: operations.endSoon.bind(operations),
    abandon: operations.abandon.bind(operations),
    knownRequest: operations.knownRequest.bind(operations),
    openOperation: operations.openOperation.bind(operations),
    purgeRequests: operations.purgeRequests.bind(operations),
    hasTurns: conversations.hasTurns.bind(conversations),
    turn: conversations.turn.bind(conversations),
    listTurns: conversations.listTurns.bind(conversations),
    neighbours: conversations.neighbours.bind(conversations),
    contexts: conversations.contexts.bind(conversations),
    record: workflows.record.bind(workflows),
    workflow: workflows.workflow.bind(workflows),
    documentWritten: workflows.documentWritten.bind(workflows),
    listWorkflows: workflows.listWorkflows.bind(workflows),
    take: outbox.take.bind(outbox),
    takeInsights: outbox.takeInsights.bind(outbox),
    remove: outbox.remove.bind(outbox),
    putBack: outbox.putBack.bind(outbox),
    waitingInsights: outbox.waitingInsights.bind(outbox),
    waiting: outbox.waiting.bind(outbox),
    addEmbeddings: outbox.addEmbeddings.bind(outbox),
    removeEmbeddings: outbox.removeEmbeddings.bind(outbox),
    links: updates.links.bind(updates),
    operationOf: updates.operationOf.bind(updates),
    beginUpdate: updates.beginUpdate.bind(updates),
    finishUpdate: updates.finishUpdate.bind(updates),
    abandonUpdate: updates.abandonUpdate.bind(updates),
    listVersions: updates.listVersions.bind(updates),
    versionedMemories: updates.versionedMemories.bind(updates),
    forgetVersions: updates.forgetVersions.bind(updates),
    forget: deletions.forget.bind(deletions),
    deleted: deletions.deleted.bind(deletions),
    unmark: deletions.unmark.bind(deletions),
  };
}
