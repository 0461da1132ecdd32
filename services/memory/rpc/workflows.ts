import type { Duration } from "@bufbuild/protobuf/wkt";
import type { HandlerContext } from "@connectrpc/connect";
import { Violations } from "../../../shared/errors.ts";
import type {
  ListWorkflowExecutionsRequest,
  RecordWorkflowExecutionRequest,
} from "../../../shared/gen/mahavishnu/memory/v1/memory_service_pb.js";
import {
  type WorkflowExecution as ProtoExecution,
  WorkflowStatus as ProtoStatus,
} from "../../../shared/gen/mahavishnu/memory/v1/workflow_pb.js";
import {
  durationMicrosOf,
  microsOf,
  toProtoEmbeddingState,
  toProtoExecution,
  workflowStatusOf,
} from "../convert.ts";
import { checkJson } from "../json-checks.ts";
import type { MemoryMetrics } from "../metrics.ts";
import type { WorkflowExecution } from "../workflow.ts";
import type { WorkflowCursor } from "../workflow-store.ts";
import type { Workflows } from "../workflows.ts";
import { callOf } from "./call.ts";
import {
  bounds,
  checkText,
  checkTimestamp,
  invalidPageToken,
  parseCount,
  parsePageToken,
  toPageToken,
} from "./fields.ts";

const mostRepos = 1_000;
const adapterBytes = 128;
const textBytes = 32 * 1024;
const resultBytes = 256 * 1024;
/** The longest that a google.protobuf.Duration may be: about 10,000 years. */
const longestSeconds = 315_576_000_000n;

export function workflowHandlers(workflows: Workflows, metrics: MemoryMetrics) {
  return {
    async recordWorkflowExecution(
      request: RecordWorkflowExecutionRequest,
      context: HandlerContext,
    ) {
      const told = parseExecution(request.execution);
      const { execution, embedding } = await metrics.storing("workflow", 1, () =>
        workflows.record(callOf(context), told),
      );
      return {
        execution: toProtoExecution(execution),
        embeddingState: toProtoEmbeddingState(embedding),
      };
    },

    async listWorkflowExecutions(request: ListWorkflowExecutionsRequest, context: HandlerContext) {
      const query = parseList(request);
      const found = await workflows.list(callOf(context), { ...query, limit: query.limit + 1 });
      const page = found.slice(0, query.limit);
      const last = page.at(-1);
      return {
        executions: page.map(toProtoExecution),
        nextPageToken:
          found.length > page.length && last !== undefined
            ? toPageToken([last.updateTime.toString(), last.workflowId])
            : "",
      };
    },
  };
}

function parseExecution(execution: ProtoExecution | undefined): WorkflowExecution {
  const violations = new Violations();
  if (execution === undefined) violations.add("execution", "is required");
  const status = execution === undefined ? undefined : workflowStatusOf(execution.status);
  if (execution !== undefined) {
    const at = (field: string) => `execution.${field}`;
    violations.require(
      /^[A-Za-z0-9._-]{1,128}$/.test(execution.workflowId),
      at("workflow_id"),
      "must be 1 to 128 of the characters A-Z a-z 0-9 . _ -",
    );
    checkText(violations, at("adapter"), execution.adapter, { min: 1, max: adapterBytes });
    violations.require(status !== undefined, at("status"), "must be a known status");
    violations.require(
      execution.repos.length <= mostRepos,
      at("repos"),
      `must be at most ${mostRepos}`,
    );
    for (const [index, repo] of execution.repos.slice(0, mostRepos).entries()) {
      checkText(violations, at(`repos[${index}]`), repo, { min: 1, max: bounds.idBytes });
    }
    if (execution.result !== undefined) {
      checkJson(violations, at("result"), execution.result, resultBytes);
    }
    checkDuration(violations, at("duration"), execution.duration);
    checkText(violations, at("error_message"), execution.errorMessage, { max: textBytes });
    checkText(violations, at("summary"), execution.summary, { max: textBytes });
  }
  violations.throwIfAny();
  return {
    workflowId: execution?.workflowId ?? "",
    adapter: execution?.adapter ?? "",
    repos: execution?.repos ?? [],
    status: status ?? "pending",
    result: execution?.result,
    durationMicros: durationMicrosOf(execution?.duration),
    errorMessage: execution?.errorMessage ?? "",
    summary: execution?.summary ?? "",
    // The store's to say.
    createTime: 0n,
    updateTime: 0n,
    revision: 0n,
  };
}

function checkDuration(violations: Violations, field: string, value: Duration | undefined): void {
  if (value === undefined) return;
  const { seconds, nanos } = value;
  const valid = seconds >= 0n && seconds <= longestSeconds && nanos >= 0 && nanos <= 999_999_999;
  violations.require(valid, field, "must be a duration that is not negative");
}

function parseList(request: ListWorkflowExecutionsRequest) {
  const violations = new Violations();
  const status = workflowStatusOf(request.status);
  violations.require(
    status !== undefined || request.status === ProtoStatus.UNSPECIFIED,
    "status",
    "must be a known status",
  );
  checkText(violations, "adapter", request.adapter, { max: adapterBytes });
  checkText(violations, "repo_id", request.repoId, { max: bounds.idBytes });
  checkTimestamp(violations, "start_time", request.startTime);
  checkTimestamp(violations, "end_time", request.endTime);
  const limit = parseCount(violations, "page_size", request.pageSize, 100);
  violations.throwIfAny();
  return {
    status,
    adapter: request.adapter,
    repoId: request.repoId,
    from: microsOf(request.startTime),
    to: microsOf(request.endTime),
    after: parseCursor(request.pageToken),
    limit,
  };
}

function parseCursor(token: string): WorkflowCursor | undefined {
  const parts = parsePageToken(token, 2);
  if (parts === undefined) return undefined;
  const [updateTime = "", workflowId = ""] = parts;
  if (!/^\d{1,18}$/.test(updateTime) || workflowId.includes("\0")) throw invalidPageToken();
  return { updateTime: BigInt(updateTime), workflowId };
}
