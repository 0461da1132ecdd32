import { newId } from "../../shared/ids.ts";
import { turnDedupScope } from "./content-identity.ts";
import type { ConversationStore } from "./conversation-store.ts";
import type { Call } from "./deadline.ts";
import type { Deliveries } from "./deliveries.ts";
import { MemoryNotFoundError } from "./errors.ts";
import { type FeatureSwitches, requireOn } from "./feature-switches.ts";
import { insightsOf, type ToldInsight } from "./insight-memory.ts";
import type { KnownTurns } from "./known-turns.ts";
import {
  type EmbeddingState,
  type JsonObject,
  type Micros,
  type NewMemory,
  ownSourceSystem,
  type Role,
  type Turn,
} from "./memory.ts";
import type { KnownRequest, OperationStore, RequestKey } from "./operation-store.ts";
import type { Operations } from "./operations.ts";

/** A turn as the caller tells it. */
export interface TurnToStore {
  readonly agentId: string;
  readonly sessionId: string;
  readonly role: Role;
  readonly content: string;
  readonly metadata: JsonObject;
  readonly repoId: string;
  /** When it was said, where that was earlier; undefined: now. */
  readonly createTime: Micros | undefined;
}

export interface StoredTurn {
  readonly turn: Turn;
  readonly embedding: EmbeddingState;
  readonly insights: readonly ToldInsight[];
}

/** What the vector store takes as metadata. */
const mostMetadataBytes = 64 * 1024;

/** Conversations: turns in order, each with a memory that makes it searchable. */
export class Conversations {
  readonly #store: ConversationStore & OperationStore;
  readonly #operations: Operations;
  readonly #deliveries: Deliveries;
  readonly #knownTurns: Pick<KnownTurns, "noted">;
  readonly #embeddingState: (call: Call, memoryId: string) => Promise<EmbeddingState>;
  readonly #switches: FeatureSwitches;

  constructor(parts: {
    readonly store: ConversationStore & OperationStore;
    readonly operations: Operations;
    readonly deliveries: Deliveries;
    readonly knownTurns: Pick<KnownTurns, "noted">;
    /** Throws MemoryNotFoundError. */
    readonly embeddingState: (call: Call, memoryId: string) => Promise<EmbeddingState>;
    readonly switches: FeatureSwitches;
  }) {
    this.#store = parts.store;
    this.#operations = parts.operations;
    this.#deliveries = parts.deliveries;
    this.#knownTurns = parts.knownTurns;
    this.#embeddingState = parts.embeddingState;
    this.#switches = parts.switches;
  }

  /** Stores a turn, its memory and its insights. See `Operations.run` for what a failure leaves. */
  async store(call: Call, told: TurnToStore, request: RequestKey | undefined): Promise<StoredTurn> {
    requireOn(this.#switches, "agentMemory");
    this.#knownTurns.noted(call.tenant);
    const turnId = newId();
    const memory = turnMemory(newId(), turnId, told);
    const result = await this.#operations.run(call, [memory], {
      turn: { ...told, id: turnId, memoryId: memory.id },
      request,
    });
    if ("known" in result) return this.#repeat(call, result.known, request);
    const written = result.written[0];
    if (written?.kind !== "stored" || result.turn === undefined) {
      throw new Error("a finished operation stored its turn");
    }
    return {
      turn: result.turn,
      embedding: written.withVector ? "ready" : "pending",
      insights: await this.#deliveries.deliverNow(call, insightsOf(memory)),
    };
  }

  /** What a repeated request answers; what the first one left open is completed before. */
  async #repeat(
    call: Call,
    known: KnownRequest,
    request: RequestKey | undefined,
  ): Promise<StoredTurn> {
    const open = request && (await this.#store.openOperation(call.tenant, request, call.signal));
    const [written] = open === undefined ? [] : await this.#operations.complete(call, open);
    if (written?.kind === "refused") throw written.error;
    const turn = await this.#store.turn(call.tenant, known.subject, call.signal);
    // It was deleted since; storing it again would undo that.
    if (turn === undefined) throw new MemoryNotFoundError(known.subject);
    const insights = insightsOf(turnMemory(turn.memoryId, turn.id, { ...turn, repoId: "" }));
    return {
      turn,
      // What was just made durable is not to fail in being read back.
      embedding:
        written === undefined
          ? await this.#embeddingState(call, turn.memoryId)
          : written.withVector
            ? "ready"
            : "pending",
      insights: await this.#deliveries.deliverNow(call, insights),
    };
  }

  list(call: Call, query: Parameters<ConversationStore["listTurns"]>[1]): Promise<Turn[]> {
    return this.#store.listTurns(call.tenant, query, call.signal);
  }
}

/** The searchable memory of a turn. Equal contents of one agent's session share one. */
function turnMemory(id: string, turnId: string, turn: TurnToStore): NewMemory {
  const own = { session_id: turn.sessionId, role: turn.role, turn_id: turnId };
  const all = { ...turn.metadata, ...own };
  // The turn itself keeps all of its metadata; only the copy for searching has less room.
  const metadata = Buffer.byteLength(JSON.stringify(all)) <= mostMetadataBytes ? all : own;
  return {
    id,
    content: turn.content,
    memoryType: "agent",
    sourceSystem: ownSourceSystem,
    agentId: turn.agentId,
    workflowId: "",
    repoId: turn.repoId,
    metadata,
    createTime: turn.createTime,
    expireTime: undefined,
    dedupScope: turnDedupScope(turn.agentId, turn.sessionId),
  };
}
