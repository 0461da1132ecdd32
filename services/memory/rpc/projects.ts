import type { MessageInitShape } from "@bufbuild/protobuf";
import type { HandlerContext } from "@connectrpc/connect";
import { Violations } from "../../../shared/errors.ts";
import {
  type AddProjectDependencyRequest,
  type CreateProjectGroupRequest,
  type ListProjectGroupsRequest,
  ProjectSearchResultSchema,
  type SearchProjectsRequest,
  type ShareInsightRequest,
} from "../../../shared/gen/mahavishnu/memory/v1/memory_service_pb.js";
import { insightKey } from "../content-identity.ts";
import { toProtoInsight, toProtoReport, toProtoResult } from "../convert.ts";
import { checkJson } from "../json-checks.ts";
import type { MemoryMetrics } from "../metrics.ts";
import type { ProjectHit, ProjectQuestion, ProjectSearch } from "../project-search.ts";
import type { Projects } from "../projects.ts";
import type { InsightToShare, SharedInsights } from "../shared-insights.ts";
import { callOf } from "./call.ts";
import { bounds, checkText, parseCount } from "./fields.ts";
import { fitting } from "./fitting.ts";
import { toDependency, toGroup, toProtoDependency, toProtoGroup } from "./project-messages.ts";

const insightBytes = 64 * 1024;
const shareMetadataBytes = 32 * 1024;
const mostTargets = 100;
/** A message has 16 MiB; reports and projects have room beside this. */
const mostResultBytes = 15 * 1024 * 1024;
const anybody = { agentId: "", sessionId: "" };

export interface ProjectParts {
  readonly projects: Projects;
  readonly projectSearch: ProjectSearch;
  readonly sharedInsights: SharedInsights;
  readonly metrics: MemoryMetrics;
}

export function projectHandlers(parts: ProjectParts) {
  const { projects, projectSearch, sharedInsights, metrics } = parts;
  return {
    async createProjectGroup({ group }: CreateProjectGroupRequest, context: HandlerContext) {
      const given = toGroup(required("group", group));
      return { group: toProtoGroup(await projects.createGroup(callOf(context), given)) };
    },

    async listProjectGroups({ project }: ListProjectGroupsRequest, context: HandlerContext) {
      const groups = await projects.groups(callOf(context), project);
      return { groups: groups.map(toProtoGroup) };
    },

    async addProjectDependency(
      { dependency }: AddProjectDependencyRequest,
      context: HandlerContext,
    ) {
      const given = toDependency(required("dependency", dependency));
      const added = await projects.addDependency(callOf(context), given);
      return { dependency: toProtoDependency(added) };
    },

    async shareInsight(request: ShareInsightRequest, context: HandlerContext) {
      const told = parseShare(request);
      const insights = await metrics.storing("insight", told.targetRepos.length, () =>
        sharedInsights.share(callOf(context), told),
      );
      return { insights: insights.map(toProtoInsight) };
    },

    async searchProjects(request: SearchProjectsRequest, context: HandlerContext) {
      const question = parseSearch(request);
      const {
        results,
        reports,
        projects: searched,
      } = await metrics.searching(anybody, () => projectSearch.search(question, callOf(context)));
      return {
        results: fitting(
          ProjectSearchResultSchema,
          results.map(toProtoProjectResult),
          mostResultBytes,
        ),
        sourceReports: reports.map(toProtoReport),
        projects: searched.map(({ project, relations }) => ({
          project,
          relations: [...relations],
        })),
      };
    },
  };
}

function toProtoProjectResult({
  hit,
  related,
}: ProjectHit): MessageInitShape<typeof ProjectSearchResultSchema> {
  return {
    result: toProtoResult({ ...hit, context: undefined }, { explain: false }),
    project: related?.project ?? hit.repoId,
    relations: [...(related?.relations ?? [])],
    ...(related?.dependency === undefined
      ? {}
      : { relation: toProtoDependency(related.dependency) }),
  };
}

function required<T>(field: string, value: T | undefined): T {
  const violations = new Violations();
  if (value === undefined) violations.add(field, "is required");
  violations.throwIfAny();
  return value as T;
}

function parseShare(request: ShareInsightRequest): InsightToShare {
  const violations = new Violations();
  const { workflowId, insight, targetRepos, metadata = {} } = request;
  violations.require(
    /^[A-Za-z0-9._-]{1,128}$/.test(workflowId),
    "workflow_id",
    "must be 1 to 128 of the characters A-Z a-z 0-9 . _ -",
  );
  checkText(violations, "insight", insight, { min: 1, max: insightBytes });
  if (insight.trim() !== "") {
    violations.require(insightKey(insight) !== "", "insight", "must have words");
  }
  const count = targetRepos.length;
  violations.require(
    count >= 1 && count <= mostTargets,
    "target_repos",
    `must be 1 to ${mostTargets}`,
  );
  const seen = new Set<string>();
  for (const [index, repo] of targetRepos.slice(0, mostTargets).entries()) {
    const field = `target_repos[${index}]`;
    checkText(violations, field, repo, { min: 1, max: bounds.idBytes });
    violations.require(!seen.has(repo), field, "is named twice");
    seen.add(repo);
  }
  checkJson(violations, "metadata", metadata, shareMetadataBytes);
  violations.throwIfAny();
  return { workflowId, content: insight, targetRepos, metadata };
}

function parseSearch(request: SearchProjectsRequest): ProjectQuestion {
  const violations = new Violations();
  const { project, minScore } = request;
  const query = request.query.replaceAll("\0", " ");
  checkText(violations, "query", query, { min: 1, max: bounds.queryBytes });
  checkText(violations, "project", project, { min: 1, max: bounds.idBytes });
  violations.require(minScore >= 0 && minScore <= 1, "min_score", "must be 0 to 1");
  const limit = parseCount(violations, "limit", request.limit, 10);
  violations.throwIfAny();
  return { query, project, limit, minScore };
}
