import type { JsonObject, Micros } from "./memory.ts";

/** How one project depends on another; `other` is a word of Session-Buddy's that is not ours. */
export const dependencyTypes = ["uses", "extends", "references", "shares_code"] as const;
export type DependencyType = (typeof dependencyTypes)[number] | "other";

/** Projects that belong together. The bridge bounds the fields and makes id and time. */
export interface ProjectGroup {
  readonly id: string;
  readonly name: string;
  readonly description: string;
  readonly projects: readonly string[];
  readonly metadata: JsonObject;
  readonly createTime: Micros | undefined;
}

/** A dependency of `source` on `target`. */
export interface ProjectDependency {
  readonly id: string;
  readonly source: string;
  readonly target: string;
  readonly type: DependencyType;
  readonly description: string;
  readonly metadata: JsonObject;
  readonly createTime: Micros | undefined;
}

/** A project and how it is related to the one asked about. */
export interface RelatedProject {
  readonly project: string;
  /** In words, such as `uses`, `used by` or `group backend`; `own` for the project itself. */
  readonly relations: readonly string[];
  /** The first dependency between the two; undefined where there is none. */
  readonly dependency: ProjectDependency | undefined;
}

const outbound: Readonly<Record<DependencyType, string>> = {
  uses: "uses",
  extends: "extends",
  references: "references",
  shares_code: "shares code with",
  other: "depends on",
};
const inbound: Readonly<Record<DependencyType, string>> = {
  uses: "used by",
  extends: "extended by",
  references: "referenced by",
  shares_code: "shares code with",
  other: "needed by",
};

/**
 * The project and those one step away, nearest first: itself, those of its dependencies in either
 * direction, those of its groups; each by name, and each once with all that relates it.
 */
export function relatedProjects(
  project: string,
  dependencies: readonly ProjectDependency[],
  groups: readonly ProjectGroup[],
): RelatedProject[] {
  const relations = new Map<string, Set<string>>();
  const first = new Map<string, ProjectDependency>();
  const relate = (other: string, relation: string) => {
    if (other === project) return;
    relations.set(other, (relations.get(other) ?? new Set()).add(relation));
  };
  for (const one of dependencies) {
    const out = one.source === project;
    if (!out && one.target !== project) continue;
    const other = out ? one.target : one.source;
    relate(other, out ? outbound[one.type] : inbound[one.type]);
    if (!first.has(other)) first.set(other, one);
  }
  for (const { name, projects } of groups) {
    if (!projects.includes(project)) continue;
    for (const other of projects) relate(other, `group ${name}`);
  }
  const others = [...relations].map(([other, words]) => ({
    project: other,
    relations: [...words],
    dependency: first.get(other),
  }));
  others.sort(
    (a, b) =>
      Number(a.dependency === undefined) - Number(b.dependency === undefined) ||
      (a.project < b.project ? -1 : 1),
  );
  return [{ project, relations: ["own"], dependency: undefined }, ...others];
}
