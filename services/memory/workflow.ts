import { workflowMemoryId } from "./content-identity.ts";
import { type JsonObject, type Micros, type NewMemory, ownSourceSystem } from "./memory.ts";

export const workflowStatuses = ["pending", "running", "completed", "failed"] as const;
export type WorkflowStatus = (typeof workflowStatuses)[number];

/** One execution of a workflow. */
export interface WorkflowExecution {
  readonly workflowId: string;
  readonly adapter: string;
  readonly repos: readonly string[];
  readonly status: WorkflowStatus;
  readonly result: JsonObject | undefined;
  /** Not negative; undefined: not told. */
  readonly durationMicros: bigint | undefined;
  readonly errorMessage: string;
  /** As the caller gave it; empty: made from the other fields, see `summaryOf`. */
  readonly summary: string;
  readonly createTime: Micros;
  readonly updateTime: Micros;
  /** Rises with every record. */
  readonly revision: bigint;
}

/** Metadata may have 64 KiB: as many repositories are listed there as fit comfortably. */
const listedRepoBytes = 32 * 1024;

/** What it did, for people: the caller's words, or what the fields tell. */
export function summaryOf(execution: WorkflowExecution): string {
  return execution.summary === "" ? factsOf(execution) : execution.summary;
}

/** The memory that makes an execution searchable; the same execution always has the same id. */
export function workflowMemory(execution: WorkflowExecution): NewMemory {
  const { workflowId, repos, summary, errorMessage, durationMicros } = execution;
  const id = workflowMemoryId(workflowId);
  const listed = listedRepos(repos);
  return {
    id,
    content: [summary, factsOf(execution), errorMessage === "" ? "" : `Error: ${errorMessage}`]
      .filter((part) => part !== "")
      .join("\n\n"),
    memoryType: "workflow",
    sourceSystem: ownSourceSystem,
    agentId: "",
    workflowId,
    repoId: repos.length === 1 ? (repos[0] ?? "") : "",
    metadata: {
      adapter: execution.adapter,
      status: execution.status,
      repos: listed,
      repo_count: repos.length,
      ...(durationMicros === undefined ? {} : { duration_seconds: Number(durationMicros) / 1e6 }),
    },
    createTime: execution.createTime,
    expireTime: undefined,
    // Its own scope: executions that read alike are still two.
    dedupScope: `workflow:${id}`,
  };
}

function factsOf({
  workflowId,
  adapter,
  status,
  repos,
  durationMicros,
}: WorkflowExecution): string {
  const after = durationMicros === undefined ? "" : ` after ${seconds(durationMicros)} s`;
  const where = repos.length === 0 ? "" : ` Repositories: ${listedRepos(repos).join(", ")}.`;
  return `Workflow ${workflowId}, run by ${adapter}: ${status}${after}.${where}`;
}

function seconds(micros: bigint): string {
  return (Number(micros) / 1e6).toFixed(3).replace(/\.?0+$/, "");
}

function listedRepos(repos: readonly string[]): string[] {
  const listed: string[] = [];
  let room = listedRepoBytes;
  for (const repo of repos) {
    room -= Buffer.byteLength(repo) + 4;
    if (room < 0) break;
    listed.push(repo);
  }
  return listed;
}
