import { Role } from "../../shared/gen/mahavishnu/memory/v1/conversation_pb.js";
import { WorkflowStatus } from "../../shared/gen/mahavishnu/memory/v1/workflow_pb.js";
import { MemoryType } from "../../shared/gen/mahavishnu/type/v1/memory_type_pb.js";
import {
  describeWalks,
  hasContent,
  insightPieces,
  type Place,
  telling,
  textOf,
} from "../harness/fault-walk.ts";

const ofRepo = (repoId: string) => ({
  node: {
    case: "condition" as const,
    value: {
      field: "repo_id",
      test: {
        case: "equals" as const,
        value: { kind: { case: "stringValue" as const, value: repoId } },
      },
    },
  },
});

const workflowOf = ({ tenant, step }: Place) => `${tenant}.${step}`;
const record = (at: Place, status: WorkflowStatus) =>
  at.client.recordWorkflowExecution(
    { execution: { workflowId: workflowOf(at), adapter: "prefect", status } },
    at.options,
  );

describeWalks([
  {
    name: "UpdateMemory with an insight in the new content",
    async prepare(at) {
      const memory = { id: `m-${at.step}`, content: textOf(at), memoryType: MemoryType.RAG };
      await at.client.storeMemory({ memory }, at.options);
    },
    call: (at) =>
      at.client.updateMemory(
        { memory: { id: `m-${at.step}`, content: telling(at), metadata: { changed: true } } },
        at.options,
      ),
    async pieces(at) {
      const id = `m-${at.step}`;
      const is = (condition: string, value: string) =>
        at.look.count("memories", `id = $2 and ${condition}`, id, value);
      return {
        content: (await is("content = $3", telling(at))) === 1,
        metadata: (await is("metadata = $3::jsonb", '{"changed": true}')) === 1,
        oldGone: (await hasContent(at, textOf(at))) === 0,
        version:
          (await at.look.count(
            "memory_versions",
            "memory_id = $2 and memory ->> 'content' = $3",
            id,
            textOf(at),
          )) === 1,
        ...(await insightPieces(at)),
      };
    },
  },
  {
    name: "DeleteMemory of a turn's memory with a history",
    async prepare(at) {
      const { memoryId } = await at.client.storeConversationTurn(
        { agentId: "a", sessionId: `s-${at.step}`, role: Role.USER, content: textOf(at) },
        at.options,
      );
      await at.client.updateMemory({ memory: { id: memoryId, metadata: { k: 1 } } }, at.options);
    },
    call: (at) => at.client.deleteMemory({ id: at.memoryId }, at.options),
    async pieces(at) {
      return {
        memory: (await hasContent(at, textOf(at))) === 0,
        turn: (await at.look.count("agent_conversations", "content = $2", textOf(at))) === 0,
        versions:
          (await at.look.count("memory_versions", "memory ->> 'content' = $2", textOf(at))) === 0,
      };
    },
  },
  {
    name: "DeleteMemories of a turn's memory and a plain one",
    async prepare(at) {
      const repoId = `r-${at.step}`;
      await at.client.storeConversationTurn(
        { agentId: "a", sessionId: "s", role: Role.USER, content: textOf(at, "turn"), repoId },
        at.options,
      );
      const memory = { content: textOf(at, "plain"), memoryType: MemoryType.RAG, repoId };
      await at.client.storeMemory({ memory }, at.options);
    },
    call: (at) => at.client.deleteMemories({ filter: ofRepo(`r-${at.step}`) }, at.options),
    async pieces(at) {
      const turns = await at.look.count("agent_conversations", "content = $2", textOf(at, "turn"));
      return {
        turn: turns === 0,
        turnsMemory: (await hasContent(at, textOf(at, "turn"))) === 0,
        plain: (await hasContent(at, textOf(at, "plain"))) === 0,
      };
    },
  },
  {
    name: "RecordWorkflowExecution of a new state",
    async prepare(at) {
      await record(at, WorkflowStatus.RUNNING);
    },
    call: (at) => record(at, WorkflowStatus.COMPLETED),
    async pieces(at) {
      const id = workflowOf(at);
      const row = "workflow_id = $2 and status = 'completed'";
      const document = "workflow_id = $2 and metadata ->> 'status' = 'completed'";
      return {
        row: (await at.look.count("workflow_executions", row, id)) === 1,
        memory: (await at.look.count("memories", document, id)) === 1,
        words:
          (await at.look.count("memories", "content like '%' || $2 || '%completed%'", id)) === 1,
      };
    },
  },
]);
