import { sharedInsightMemoryId } from "./content-identity.ts";
import type { Call } from "./deadline.ts";
import type { Deliveries } from "./deliveries.ts";
import { type FeatureSwitches, requireOn } from "./feature-switches.ts";
import { type FoundInsight, judgeInsight } from "./insight-extraction.ts";
import type { InsightOfText, ToldInsight } from "./insight-memory.ts";
import { knownIds } from "./known-memories.ts";
import { type JsonObject, type NewMemory, ownSourceSystem } from "./memory.ts";
import type { Operations } from "./operations.ts";
import type { Documents, InsightToDeliver } from "./ports.ts";

/** An insight that a workflow shares with repositories. */
export interface InsightToShare {
  readonly workflowId: string;
  readonly content: string;
  /** One at least, each once. */
  readonly targetRepos: readonly string[];
  readonly metadata: JsonObject;
}

/**
 * Shares insights between projects: a memory for each repository that should learn it, and one
 * insight for Session-Buddy, which knows equal texts as one whatever their project.
 */
export class SharedInsights {
  readonly #documents: Documents;
  readonly #operations: Operations;
  readonly #deliveries: Deliveries;
  readonly #switches: FeatureSwitches;

  constructor(parts: {
    readonly documents: Documents;
    readonly operations: Operations;
    readonly deliveries: Deliveries;
    readonly switches: FeatureSwitches;
  }) {
    this.#documents = parts.documents;
    this.#operations = parts.operations;
    this.#deliveries = parts.deliveries;
    this.#switches = parts.switches;
  }

  /** One insight per repository, in their order. Sharing the same again changes nothing. */
  async share(call: Call, told: InsightToShare): Promise<ToldInsight[]> {
    requireOn(this.#switches, "crossSystemSharing");
    const found = judgeInsight(told.content);
    const insights = insightsFor(told, found);
    const memories = insights.map(({ memory }) => memory);
    const known = await knownIds(call, this.#documents, memories);
    const [first] = insights;
    if (first === undefined)
      throw new RangeError("an insight is shared with one repository at least");
    if (known.size < memories.length) {
      await this.#operations.storeOnce(call, memories, [first.delivery]);
    }
    const [delivered] = await this.#deliveries.deliverNow(call, [first]);
    return insights.map((insight) => ({ ...insight, deliveryState: delivered?.deliveryState }));
  }
}

function insightsFor(told: InsightToShare, found: FoundInsight): InsightOfText[] {
  const { workflowId, content, targetRepos } = told;
  const metadata: JsonObject = {
    ...told.metadata,
    doc_type: "cross_project_workflow",
    share_type: "dependency_aware",
    workflow_id: workflowId,
    target_repos: [...targetRepos],
    insight_type: found.type,
    topics: [...found.topics],
    confidence: found.confidence,
    quality: found.quality,
  };
  return targetRepos.map((repoId) => {
    const id = sharedInsightMemoryId(workflowId, repoId, content);
    const memory: NewMemory = {
      id,
      content,
      memoryType: "insight",
      sourceSystem: ownSourceSystem,
      agentId: "",
      workflowId,
      repoId,
      metadata,
      createTime: undefined,
      expireTime: undefined,
      // Its own scope: what two workflows share alike is told twice, and found as one.
      dedupScope: `shared:${id}`,
    };
    const delivery: InsightToDeliver = {
      memoryId: id,
      content,
      type: found.type,
      topics: found.topics,
      confidence: found.confidence,
      quality: found.quality,
      project: repoId,
      conversationId: "",
      metadata: { ...metadata, mahavishnu_memory_id: id },
    };
    return { found, memory, delivery };
  });
}
