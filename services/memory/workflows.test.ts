import { describe, expect, it } from "vitest";
import { EmbeddingState } from "../../shared/gen/mahavishnu/memory/v1/memory_pb.js";
import { WorkflowStatus } from "../../shared/gen/mahavishnu/memory/v1/workflow_pb.js";
import { MemoryType } from "../../shared/gen/mahavishnu/type/v1/memory_type_pb.js";
import { eventually } from "./testing/running-service.ts";
import { failure, fieldsOf, ServiceSuite } from "./testing/service-suite.ts";

const suite = new ServiceSuite();

describe("workflow executions", () => {
  const execution = {
    workflowId: "wf-1",
    adapter: "prefect",
    repos: ["r1", "r2"],
    status: WorkflowStatus.RUNNING,
    result: { passed: 3 },
    duration: { seconds: 12n, nanos: 345_678_000 },
  };

  it("are recorded, updated in place, and searchable", async () => {
    const first = await suite.client.recordWorkflowExecution({ execution });
    expect(first.embeddingState).toBe(EmbeddingState.READY);
    expect(first.execution).toMatchObject({
      ...execution,
      summary: "Workflow wf-1, run by prefect: running after 12.346 s. Repositories: r1, r2.",
    });
    const failed = {
      ...execution,
      status: WorkflowStatus.FAILED,
      errorMessage: "out of memory",
      summary: "Nightly build",
    };
    const second = await suite.client.recordWorkflowExecution({ execution: failed });
    expect(second.execution?.memoryId).toBe(first.execution?.memoryId);
    const { memory } = await suite.client.getMemory({ id: second.execution?.memoryId ?? "" });
    expect(memory).toMatchObject({
      memoryType: MemoryType.WORKFLOW,
      workflowId: "wf-1",
      metadata: { status: "failed", repos: ["r1", "r2"], adapter: "prefect" },
    });
    expect(memory?.content).toContain("Nightly build");
    expect(memory?.content).toContain("out of memory");
    const { executions } = await suite.client.listWorkflowExecutions({});
    expect(executions).toEqual([second.execution]);
    expect(suite.peers.vectorStore.size).toBe(1);
  });

  it("are listed in pages, last updated first", async () => {
    for (const workflowId of ["w1", "w2", "w3"]) {
      await suite.client.recordWorkflowExecution({ execution: { ...execution, workflowId } });
    }
    const first = await suite.client.listWorkflowExecutions({ pageSize: 2, repoId: "r2" });
    const second = await suite.client.listWorkflowExecutions({
      pageSize: 2,
      repoId: "r2",
      pageToken: first.nextPageToken,
    });
    const all = [...first.executions, ...second.executions];
    expect(all.map(({ workflowId }) => workflowId)).toEqual(["w3", "w2", "w1"]);
    expect(second.nextPageToken).toBe("");
  });

  it("are listed by state, adapter, repository and time, all of them at once", async () => {
    const { client } = suite;
    const record = async (workflowId: string, more: object) =>
      (await client.recordWorkflowExecution({ execution: { ...execution, workflowId, ...more } }))
        .execution;
    await record("a", { status: WorkflowStatus.FAILED, adapter: "agno", repos: ["r9"] });
    const second = await record("b", { adapter: "agno" });
    await record("c", { status: WorkflowStatus.COMPLETED, repos: [] });
    // By the same id: its place and its state are the new ones.
    await record("a", { status: WorkflowStatus.COMPLETED, adapter: "agno", repos: ["r9"] });
    const ids = async (query: object) =>
      (await client.listWorkflowExecutions(query)).executions
        .map(({ workflowId }) => workflowId)
        .join("");
    expect(await ids({})).toBe("acb");
    expect(await ids({ status: WorkflowStatus.FAILED })).toBe("");
    expect(await ids({ status: WorkflowStatus.COMPLETED })).toBe("ac");
    expect(await ids({ adapter: "agno" })).toBe("ab");
    expect(await ids({ repoId: "r1" })).toBe("b");
    const at = second?.updateTime;
    if (at === undefined) throw new Error("an execution has its time");
    expect(await ids({ startTime: at })).toBe("acb");
    expect(await ids({ endTime: at })).toBe("");
    const later = { seconds: at.seconds, nanos: at.nanos + 1_000 };
    expect(await ids({ startTime: later })).toBe("ac");
    expect(await ids({ startTime: at, endTime: later, adapter: "agno" })).toBe("b");
  });

  it("name every field that is wrong at once", async () => {
    const error = await failure(
      suite.client.recordWorkflowExecution({
        execution: {
          workflowId: "not an id",
          repos: ["ok", ""],
          duration: { seconds: -1n },
          errorMessage: "x".repeat(32 * 1024 + 1),
        },
      }),
    );
    expect(fieldsOf(error).sort()).toEqual([
      "execution.adapter",
      "execution.duration",
      "execution.error_message",
      "execution.repos[1]",
      "execution.status",
      "execution.workflow_id",
    ]);
  });

  it("keep their row while the store is away, and catch up", async () => {
    suite.peers.moods.vectorStore = "down";
    await failure(suite.client.recordWorkflowExecution({ execution }));
    expect((await suite.client.listWorkflowExecutions({})).executions).toHaveLength(1);
    suite.peers.moods.vectorStore = "up";
    await suite.makeDue();
    await eventually(async () => (await suite.waiting()) === 0);
    expect(suite.peers.vectorStore.size).toBe(1);
  });
});
