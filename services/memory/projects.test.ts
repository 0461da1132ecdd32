import { Code } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { ErrorInfoSchema } from "../../shared/gen/google/rpc/error_details_pb.js";
import { InsightDelivery } from "../../shared/gen/mahavishnu/memory/v1/conversation_pb.js";
import { SourceStatus } from "../../shared/gen/mahavishnu/memory/v1/search_pb.js";
import { DependencyType } from "../../shared/gen/mahavishnu/sessionbuddy/v1/project_pb.js";
import { eventually } from "./testing/running-service.ts";
import { agentMemory, failure, fieldsOf, ServiceSuite } from "./testing/service-suite.ts";

const suite = new ServiceSuite();
const { OK, DEGRADED, FAILED, SKIPPED } = SourceStatus;

const infoOf = (error: Awaited<ReturnType<typeof failure>>) =>
  error.findDetails(ErrorInfoSchema)[0];
const uses = (sourceProject: string, targetProject: string) =>
  suite.client.addProjectDependency({
    dependency: { sourceProject, targetProject, dependencyType: DependencyType.USES },
  });
const share = (targetRepos: string[], more: object = {}) =>
  suite.client.shareInsight({
    workflowId: "wf-1",
    insight: "Always pin the version of the base image.",
    targetRepos,
    ...more,
  });

describe("groups and dependencies", () => {
  it("are kept by the bridge", async () => {
    const group = { name: "backend", projects: ["api", "lib"] };
    const created = await suite.client.createProjectGroup({ group });
    expect(created.group).toMatchObject(group);
    const { groups } = await suite.client.listProjectGroups({ project: "lib" });
    expect(groups).toMatchObject([group]);
    expect((await suite.client.listProjectGroups({ project: "other" })).groups).toEqual([]);
    const { dependency } = await uses("api", "lib");
    expect(dependency).toMatchObject({ sourceProject: "api", targetProject: "lib" });
  });

  it("are refused as the bridge refuses them, and UNAVAILABLE while it is away", async () => {
    const bad = await failure(suite.client.createProjectGroup({ group: {} }));
    expect(bad.code).toBe(Code.InvalidArgument);
    expect(fieldsOf(bad)).toEqual(["group.name"]);
    expect(fieldsOf(await failure(suite.client.createProjectGroup({})))).toEqual(["group"]);
    suite.peers.moods.sessionBuddy = "down";
    for (const call of [
      suite.client.createProjectGroup({ group: { name: "g", projects: ["p"] } }),
      suite.client.listProjectGroups({}),
      uses("a", "b"),
    ]) {
      const error = await failure(call);
      expect(error.code).toBe(Code.Unavailable);
      expect(infoOf(error)).toMatchObject({
        reason: "DEPENDENCY_UNAVAILABLE",
        metadata: { dependency: "session-buddy" },
      });
    }
  });
});

describe("ShareInsight", () => {
  it("stores a memory for each repository and one insight for Session-Buddy, once", async () => {
    const { insights } = await share(["api", "web"], { metadata: { ticket: 7 } });
    expect(insights.map(({ delivery }) => delivery)).toEqual([
      InsightDelivery.DELIVERED,
      InsightDelivery.DELIVERED,
    ]);
    const memories = insights.map(({ memoryId }) => suite.peers.vectorStore.get(memoryId));
    expect(memories.map((one) => one?.repoId)).toEqual(["api", "web"]);
    const metadata = {
      doc_type: "cross_project_workflow",
      share_type: "dependency_aware",
      workflow_id: "wf-1",
      target_repos: ["api", "web"],
      ticket: 7,
    };
    for (const one of memories) expect(one).toMatchObject({ workflowId: "wf-1", metadata });
    expect([...suite.peers.delivered.values()]).toMatchObject([{ project: "api", metadata }]);
    expect((await share(["api", "web"], { metadata: { ticket: 7 } })).insights).toEqual(insights);
    expect(suite.peers.vectorStore.size).toBe(2);
    expect(suite.peers.delivered.size).toBe(1);
  });

  it("waits for Session-Buddy in the outbox", async () => {
    suite.peers.moods.sessionBuddy = "down";
    const { insights } = await share(["api"]);
    expect(insights).toMatchObject([{ delivery: InsightDelivery.QUEUED }]);
    suite.peers.moods.sessionBuddy = "up";
    await suite.makeDue();
    await eventually(() => suite.peers.delivered.size === 1);
    await eventually(async () => (await suite.waiting()) === 0);
    expect((await share(["api"])).insights).toMatchObject([
      { delivery: InsightDelivery.DELIVERED },
    ]);
  });

  it("is refused where sharing is switched off, and names every field that is wrong", async () => {
    const wrong = await failure(
      suite.client.shareInsight({
        workflowId: "no blanks",
        insight: "...",
        targetRepos: ["a", "a", ""],
        metadata: { text: "x".repeat(40_000) },
      }),
    );
    expect(fieldsOf(wrong)).toEqual([
      "workflow_id",
      "insight",
      "target_repos[1]",
      "target_repos[2]",
      "metadata",
    ]);
    await suite.start({ MAHAVISHNU_ENABLE_CROSS_SYSTEM_SHARING: "false" });
    for (const call of [
      share(["api"]),
      uses("a", "b"),
      suite.client.createProjectGroup({ group: { name: "g", projects: ["p"] } }),
    ]) {
      const error = await failure(call);
      expect(error.code).toBe(Code.FailedPrecondition);
      expect(infoOf(error)?.metadata).toEqual({ switch: "enable_cross_system_sharing" });
    }
    expect(suite.peers.vectorStore.size).toBe(0);
  });
});

describe("SearchProjects", () => {
  const ask = (project: string, more: object = {}) =>
    suite.client.searchProjects({ query: "deploy", project, ...more });
  const statuses = async (project: string) =>
    (await ask(project)).sourceReports.map(({ status }) => status);

  it("asks both stores about the project and those related to it", async () => {
    await uses("api", "lib");
    await suite.client.createProjectGroup({ group: { name: "back", projects: ["api", "jobs"] } });
    for (const repoId of ["api", "lib", "jobs"]) {
      await suite.client.storeMemory(agentMemory(`how to deploy ${repoId}`, { repoId }));
    }
    const { results, sourceReports, projects } = await ask("api");
    expect(projects.map(({ project, relations }) => [project, ...relations])).toEqual([
      ["api", "own"],
      ["lib", "uses"],
      ["jobs", "group back"],
    ]);
    expect(sourceReports.map(({ status }) => status)).toEqual([OK, OK]);
    expect(suite.peers.bridgeSearches.map(({ project }) => project).sort()).toEqual([
      "api",
      "jobs",
      "lib",
    ]);
    const byProject = new Map(results.map((one) => [one.project, one]));
    expect(byProject.get("api")).toMatchObject({ relations: ["own"] });
    expect(byProject.get("api")?.relation).toBeUndefined();
    expect(byProject.get("lib")).toMatchObject({
      relations: ["uses"],
      relation: { sourceProject: "api", targetProject: "lib" },
    });
    expect(byProject.get("jobs")).toMatchObject({ relations: ["group back"] });
    expect((await ask("lib")).projects).toMatchObject([
      { project: "lib" },
      { project: "api", relations: ["used by"] },
    ]);
    expect((await ask("api", { limit: 1 })).results).toHaveLength(1);
  });

  it("embeds the query once, however many projects are asked about", async () => {
    await uses("api", "lib");
    await suite.client.createProjectGroup({ group: { name: "back", projects: ["api", "jobs"] } });
    const before = suite.peers.embedCalls;
    await ask("api");
    expect(suite.peers.embedCalls - before).toBe(1);
    expect(suite.peers.bridgeSearches).toHaveLength(3);
    for (const { vector } of suite.peers.bridgeSearches) expect(vector?.values).toHaveLength(4);
  });

  it("searches the project alone while the bridge is away, and says so", async () => {
    await uses("api", "lib");
    suite.peers.moods.sessionBuddy = "down";
    const { sourceReports, projects } = await ask("api");
    expect(projects).toMatchObject([{ project: "api" }]);
    expect(sourceReports.map(({ status }) => status)).toEqual([DEGRADED, FAILED]);
    suite.peers.moods.vectorStore = "down";
    const error = await failure(ask("api"));
    expect(error.code).toBe(Code.Unavailable);
    expect(infoOf(error)?.reason).toBe("ALL_SOURCES_FAILED");
  });

  it("leaves a bridge that failed repeatedly alone, relations included, as UnifiedSearch does", async () => {
    suite.peers.moods.sessionBuddy = "down";
    const reports = async () => (await ask("api")).sourceReports;
    // Two reads of relations fail each time.
    await ask("api");
    await ask("api");
    for (const report of await reports()) {
      expect(report.message).toContain("session-buddy failed repeatedly and is left alone");
    }
    expect(await statuses("api")).toEqual([DEGRADED, SKIPPED]);
    const unified = await suite.client.unifiedSearch({ query: "deploy" });
    expect(unified.sourceReports.map(({ status }) => status)).toEqual([OK, SKIPPED]);
    // Left alone because it failed: with the other one down nothing came of what was asked.
    suite.peers.moods.vectorStore = "down";
    expect(infoOf(await failure(ask("api")))?.reason).toBe("ALL_SOURCES_FAILED");
  });

  it("skips a bridge that UnifiedSearch found to be down", async () => {
    suite.peers.moods.sessionBuddy = "down";
    for (let n = 0; n < 3; n++) await suite.client.unifiedSearch({ query: "deploy" });
    expect(await statuses("api")).toEqual([DEGRADED, SKIPPED]);
  });

  it("does not ask Session-Buddy where that is switched off", async () => {
    await suite.start({ MAHAVISHNU_ENABLE_REFLECTION_SEARCH: "false" });
    expect(await statuses("api")).toEqual([DEGRADED, SKIPPED]);
  });

  it("asks Session-Buddy about the nearest projects only, and says so", async () => {
    const projects = Array.from({ length: 30 }, (_, n) => `p${String(n).padStart(2, "0")}`);
    await suite.client.createProjectGroup({ group: { name: "many", projects } });
    const answer = await ask("p00");
    expect(answer.projects).toHaveLength(30);
    expect(answer.sourceReports.map(({ status }) => status)).toEqual([OK, DEGRADED]);
    expect(suite.peers.bridgeSearches).toHaveLength(20);
  });

  it("names every field that is wrong", async () => {
    const error = await failure(
      suite.client.searchProjects({ query: "", project: "", minScore: 2, limit: -1 }),
    );
    expect(fieldsOf(error)).toEqual(["query", "project", "min_score", "limit"]);
  });
});
