import {
  type Insight,
  InsightDelivery,
} from "../shared/gen/mahavishnu/memory/v1/conversation_pb.js";
import { EmbeddingState } from "../shared/gen/mahavishnu/memory/v1/memory_pb.js";
import { MemoryService } from "../shared/gen/mahavishnu/memory/v1/memory_service_pb.js";
import { MemoryType } from "../shared/gen/mahavishnu/type/v1/memory_type_pb.js";
import { withClient } from "./connection.ts";
import { excerpt, print, printJson } from "./output.ts";

export interface RememberOptions {
  readonly type: "agent" | "workflow" | "insight";
  readonly agent?: string;
  readonly repo?: string;
  readonly workflow?: string;
  readonly tenant?: string;
  readonly json?: boolean;
}

const typeByName = {
  agent: MemoryType.AGENT,
  workflow: MemoryType.WORKFLOW,
  insight: MemoryType.INSIGHT,
} as const;

/** Stores a text and prints where it is. `-` reads the text from standard input. */
export async function remember(text: string, options: RememberOptions): Promise<void> {
  const content = text === "-" ? await readStandardInput() : text;
  const response = await withClient(
    "memory",
    MemoryService,
    (client, call) =>
      client.storeMemory(
        {
          memory: {
            content,
            memoryType: typeByName[options.type],
            sourceSystem: "mahavishnu-cli",
            agentId: options.agent ?? "",
            repoId: options.repo ?? "",
            workflowId: options.workflow ?? "",
          },
        },
        call({ timeoutMs: 30_000 }),
      ),
    options.tenant,
  );
  const id = response.memory?.id ?? "";
  const pending = response.embeddingState === EmbeddingState.PENDING;
  if (options.json) {
    printJson({
      id,
      deduplicated: response.deduplicated,
      embedding_state: EmbeddingState[response.embeddingState],
      insights: response.insights.map((one) => one.content),
    });
    return;
  }
  print(response.deduplicated ? `Known already as ${id}.` : `Stored as ${id}.`);
  if (pending) print("Found by its words now; its vector follows once embedding answers.");
  for (const insight of response.insights) print(describeInsight(insight));
}

function describeInsight(insight: Insight): string {
  const where =
    insight.delivery === InsightDelivery.DELIVERED
      ? "delivered to Session-Buddy"
      : "waiting for Session-Buddy";
  return `Insight (${insight.insightType}), ${where}: ${excerpt(insight.content, 80)}`;
}

async function readStandardInput(): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of process.stdin) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks).toString("utf8").trimEnd();
}
