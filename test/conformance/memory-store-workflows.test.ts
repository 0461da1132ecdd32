import { describe, expect, it } from "vitest";
import type { WorkflowExecution } from "../../services/memory/workflow.ts";
import { sleep } from "../../shared/lifecycle.ts";
import { describeEachStore } from "../harness/postgres.ts";
import { anyWorkflow, execution, MemoryStoreSuite, other, tenant } from "./memory-store-suite.ts";

describeEachStore("memory store", (_kind, database) => {
  const suite = new MemoryStoreSuite(database);
  const { takeAll, waiting } = suite;

  describe("workflows", () => {
    it("are updated in place, each record with a mark", async () => {
      const first = await suite.store.record(tenant, execution(), 0);
      expect(first.execution).toMatchObject({
        workflowId: "wf-1",
        repos: ["a", "b"],
        result: { passed: 3 },
        durationMicros: 1_500_001n,
        revision: 1n,
      });
      const second = await suite.store.record(
        tenant,
        execution({ status: "failed", result: undefined, durationMicros: undefined }),
        0,
      );
      expect(second.execution).toMatchObject({
        status: "failed",
        result: undefined,
        durationMicros: undefined,
        revision: 2n,
        createTime: first.execution.createTime,
      });
      expect(second.execution.updateTime).toBeGreaterThan(first.execution.updateTime);
      const marks = await takeAll("workflow");
      expect(marks.map((mark) => mark.kind === "workflow" && mark.workflowId)).toEqual([
        "wf-1",
        "wf-1",
      ]);
    });

    it("keep the mark of a writer that was overtaken", async () => {
      const first = await suite.store.record(tenant, execution(), 0);
      const second = await suite.store.record(tenant, execution({ status: "completed" }), 0);
      const written = (of: typeof first) => ({
        markId: of.markId,
        workflowId: "wf-1",
        revision: of.execution.revision,
        withoutVector: undefined,
      });
      expect(await suite.store.documentWritten(tenant, written(first))).toBe(false);
      expect(await suite.store.documentWritten(tenant, written(second))).toBe(true);
      expect(await takeAll("workflow")).toMatchObject([{ id: first.markId }]);
    });

    it("queue the vector that is missing with the end of the mark", async () => {
      const { execution: recorded, markId } = await suite.store.record(tenant, execution(), 0);
      await suite.store.documentWritten(tenant, {
        markId,
        workflowId: "wf-1",
        revision: recorded.revision,
        withoutVector: { memoryId: "m", dedupScope: "s" },
      });
      expect(await waiting()).toEqual({ embedding: 1 });
    });

    it("are listed last updated first, by every condition and in pages", async () => {
      const recorded: WorkflowExecution[] = [];
      for (const [workflowId, adapter, repos, status] of [
        ["w1", "prefect", ["a"], "completed"],
        ["w2", "agno", ["a", "b"], "failed"],
        ["w3", "prefect", ["b"], "failed"],
        ["w4", "prefect", [], "pending"],
      ] as const) {
        const told = execution({ workflowId, adapter, repos, status });
        // The embedded database's clock has whole milliseconds.
        await sleep(5);
        recorded.push((await suite.store.record(tenant, told, 0)).execution);
      }
      const list = (query: Partial<typeof anyWorkflow> | object, who = tenant) =>
        suite.store
          .listWorkflows(who, { ...anyWorkflow, ...query })
          .then((found) => found.map(({ workflowId }) => workflowId));
      expect(await list({})).toEqual(["w4", "w3", "w2", "w1"]);
      expect(await list({ status: "failed" })).toEqual(["w3", "w2"]);
      expect(await list({ adapter: "prefect", status: "failed" })).toEqual(["w3"]);
      expect(await list({ repoId: "b" })).toEqual(["w3", "w2"]);
      expect(await list({ from: recorded[1]?.updateTime, to: recorded[3]?.updateTime })).toEqual([
        "w3",
        "w2",
      ]);
      const [, third] = await suite.store.listWorkflows(tenant, { ...anyWorkflow, limit: 2 });
      const after = third && { updateTime: third.updateTime, workflowId: third.workflowId };
      expect(await list({ after })).toEqual(["w2", "w1"]);
      expect(await list({}, other)).toEqual([]);
    });

    it("with the same time follow each other by id, across pages", async () => {
      for (const workflowId of ["w1", "w2", "w3"]) {
        await suite.store.record(tenant, execution({ workflowId }), 0);
      }
      await suite.postgres.query(
        "update workflow_executions set updated_at = '2026-01-01T00:00:00Z'",
      );
      const [first] = await suite.store.listWorkflows(tenant, { ...anyWorkflow, limit: 1 });
      expect(first?.workflowId).toBe("w1");
      const after = { updateTime: first?.updateTime ?? 0n, workflowId: "w1" };
      const rest = await suite.store.listWorkflows(tenant, { ...anyWorkflow, after });
      expect(rest.map(({ workflowId }) => workflowId)).toEqual(["w2", "w3"]);
    });
  });
});
