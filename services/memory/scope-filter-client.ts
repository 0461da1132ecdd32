import type { MessageInitShape } from "@bufbuild/protobuf";
import type {
  ConditionSchema,
  Filter,
  FilterSchema,
} from "../../shared/gen/mahavishnu/type/v1/filter_pb.js";
import type { Period } from "./named-time.ts";
import type { CallerFilter, Scope } from "./ports.ts";

type FilterInit = MessageInitShape<typeof FilterSchema>;

/** A search's scope as a filter of the vector store; undefined where everything is in scope. */
export function toProtoFilter(scope: Scope): FilterInit | undefined {
  const all: FilterInit[] = [];
  if (scope.memoryTypes.length > 0) all.push(oneOf("memory_type", scope.memoryTypes));
  if (scope.agentId !== "") all.push(equals("agent_id", scope.agentId));
  if (scope.workflowId !== "") all.push(equals("workflow_id", scope.workflowId));
  if (scope.repoId !== "") all.push(inRepo(scope));
  if (scope.sessionId !== "") all.push(equals("metadata.session_id", scope.sessionId));
  if (scope.period !== undefined) all.push(madeIn(scope.period));
  if (scope.filter !== undefined) all.push(protoFilterOf(scope.filter));
  if (all.length <= 1) return all[0];
  return { node: { case: "allOf", value: { filters: all } } };
}

/** A workflow may work on several repositories; those stand in its metadata. */
function inRepo({ repoId, memoryTypes }: Scope): FilterInit {
  const own = equals("repo_id", repoId);
  if (memoryTypes.length > 0 && !memoryTypes.includes("workflow")) return own;
  const amongSeveral: FilterInit = {
    node: {
      case: "allOf",
      value: {
        filters: [
          oneOf("memory_type", ["workflow"]),
          condition("metadata.repos", { case: "contains", value: text(repoId) }),
        ],
      },
    },
  };
  return { node: { case: "anyOf", value: { filters: [own, amongSeveral] } } };
}

function madeIn({ from, to }: Period): FilterInit {
  const time = (ms: number) => text(new Date(ms).toISOString());
  return condition("create_time", { case: "range", value: { gte: time(from), lt: time(to) } });
}

/** The caller's filter as it travels. */
export function protoFilterOf(filter: CallerFilter): Filter {
  return filter as unknown as Filter;
}

/** Whether any condition of the filter is on this field. */
export function namesField({ node }: Filter, field: string): boolean {
  switch (node.case) {
    case "allOf":
    case "anyOf":
      return node.value.filters.some((one) => namesField(one, field));
    case "not":
      return namesField(node.value, field);
    case "condition":
      return node.value.field === field;
    case undefined:
      return false;
  }
}

type Test = NonNullable<MessageInitShape<typeof ConditionSchema>["test"]>;

function condition(field: string, test: Test): FilterInit {
  return { node: { case: "condition", value: { field, test } } };
}

function equals(field: string, value: string): FilterInit {
  return condition(field, { case: "equals", value: text(value) });
}

function oneOf(field: string, values: readonly string[]): FilterInit {
  return condition(field, { case: "oneOf", value: { values: values.map(text) } });
}

function text(value: string) {
  return { kind: { case: "stringValue" as const, value } };
}
