import { describe, expect, it } from "vitest";
import { eventually } from "../../services/memory/testing/running-service.ts";
import { Source, SourceStatus } from "../../shared/gen/mahavishnu/memory/v1/search_pb.js";
import { DependencyType } from "../../shared/gen/mahavishnu/sessionbuddy/v1/project_pb.js";
import { MemorySuite } from "../harness/memory-suite.ts";
import { describeEachStore } from "../harness/postgres.ts";

describeEachStore("related projects with the real bridge", (_kind, database) => {
  const suite = new MemorySuite(database);
  const { store } = suite;

  describe("projects", () => {
    it("are related through Session-Buddy, and found in both stores", async () => {
      await suite.client.createProjectGroup({
        group: { name: "payments", description: "", projects: ["checkout", "ledger"] },
      });
      await suite.client.addProjectDependency({
        dependency: {
          sourceProject: "checkout",
          targetProject: "vault",
          dependencyType: DependencyType.USES,
        },
      });
      expect((await suite.client.listProjectGroups({ project: "ledger" })).groups).toMatchObject([
        { name: "payments", projects: ["checkout", "ledger"] },
      ]);
      const insight = "Rotate the signing keys of the payment gateway every quarter.";
      const { insights } = await suite.client.shareInsight({
        workflowId: "rotate.7",
        insight,
        targetRepos: ["vault", "ledger"],
      });
      expect(insights).toHaveLength(2);
      for (const repoId of ["checkout", "ledger", "elsewhere"]) {
        await store(`Payment gateway notes of ${repoId}.`, { repoId });
      }
      await eventually(async () => {
        const { results } = await suite.client.searchProjects({
          query: insight,
          project: "checkout",
        });
        return results[0]?.result?.foundIn.length === 2;
      });
      const answer = await suite.client.searchProjects(
        { query: "payment gateway keys", project: "checkout" },
        { timeoutMs: 10_000 },
      );
      expect(answer.projects.map(({ project, relations }) => [project, ...relations])).toEqual([
        ["checkout", "own"],
        ["vault", "uses"],
        ["ledger", "group payments"],
      ]);
      const found = answer.results.map(({ project, relations, result }) => [
        project,
        relations[0],
        result?.content,
      ]);
      expect(found).toContainEqual(["checkout", "own", "Payment gateway notes of checkout."]);
      expect(found).toContainEqual([
        "ledger",
        "group payments",
        "Payment gateway notes of ledger.",
      ]);
      expect(found.map(([, , content]) => content)).toContain(insight);
      expect(found.map(([project]) => project)).not.toContain("elsewhere");
      // Each of the targets has learnt it.
      for (const repoId of ["vault", "ledger"]) {
        expect(
          (
            await suite.client.unifiedSearch({
              query: insight,
              repoId,
              sources: [Source.POSTGRESQL],
            })
          ).results[0]?.content,
        ).toBe(insight);
      }
      const shared = answer.results.find(({ result }) => result?.content === insight);
      expect(shared?.result?.metadata).toMatchObject({
        doc_type: "cross_project_workflow",
        share_type: "dependency_aware",
        workflow_id: "rotate.7",
      });
      expect(shared?.relation).toMatchObject({ sourceProject: "checkout", targetProject: "vault" });
      await suite.peers.stop("sessionBuddy");
      const alone = await suite.client.searchProjects({ query: "payment", project: "checkout" });
      expect(alone.sourceReports.map(({ status }) => status)).toEqual([
        SourceStatus.DEGRADED,
        SourceStatus.FAILED,
      ]);
      expect(alone.results.map(({ project }) => project)).toEqual(["checkout"]);
      await suite.peers.restart("sessionBuddy");
    }, 60_000);
  });
});
