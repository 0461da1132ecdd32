import { create } from "@bufbuild/protobuf";
import { type Filter, FilterSchema } from "../../shared/gen/mahavishnu/type/v1/filter_pb.js";
import type { CallerFilter } from "./ports.ts";

/** Memories of any of these projects; a workflow may work on several, which its metadata lists. */
export function filterOfProjects(projects: readonly string[]): CallerFilter {
  const own = test("repo_id", { case: "oneOf", value: { values: projects.map(text) } });
  const workflows = all([
    test("memory_type", { case: "equals", value: text("workflow") }),
    any(
      projects.map((project) => test("metadata.repos", { case: "contains", value: text(project) })),
    ),
  ]);
  return any([own, workflows]) as unknown as CallerFilter;
}

type Condition = Extract<Filter["node"], { case: "condition" }>["value"];
type Init = NonNullable<Parameters<typeof create<typeof FilterSchema>>[1]>;

function test(field: string, one: unknown): Filter {
  const condition = { field, test: one } as unknown as Condition;
  return create(FilterSchema, { node: { case: "condition", value: condition } } as Init);
}

function all(filters: Filter[]): Filter {
  return create(FilterSchema, { node: { case: "allOf", value: { filters } } });
}

function any(filters: Filter[]): Filter {
  return create(FilterSchema, { node: { case: "anyOf", value: { filters } } });
}

function text(value: string) {
  return { kind: { case: "stringValue" as const, value } };
}
