import type { ConversationStore } from "./conversation-store.ts";
import type { DeletionStore } from "./deletion-store.ts";
import type { OperationStore } from "./operation-store.ts";
import type { OutboxStore } from "./outbox-store.ts";
import type { UpdateStore } from "./update-store.ts";
import type { WorkflowStore } from "./workflow-store.ts";

/**
 * What the memory service itself keeps in its database. The documents are the vector store's; here
 * stands what makes work that spans both safe to repeat: each method is one transaction, and what
 * it promises holds after SIGKILL.
 */
export interface MemoryStore
  extends OperationStore,
    ConversationStore,
    WorkflowStore,
    OutboxStore,
    DeletionStore,
    UpdateStore {}
