import { hash } from "node:crypto";
import type { JsonObject } from "./record.ts";

/** How one project depends on another, in Session-Buddy's words. */
export type DependencyType = "uses" | "extends" | "references" | "shares_code";

export interface ProjectGroup {
  readonly id: string;
  readonly name: string;
  readonly description: string;
  readonly projects: readonly string[];
  readonly metadata: JsonObject;
  /** Microseconds since 1970 UTC. */
  readonly createMicros: number | undefined;
}

export interface ProjectDependency {
  readonly id: string;
  readonly source: string;
  readonly target: string;
  /** Session-Buddy may have stored other words. */
  readonly type: string;
  readonly description: string;
  readonly metadata: JsonObject;
  /** Microseconds since 1970 UTC. */
  readonly createMicros: number | undefined;
}

/** A session that goes on from another, or belongs to it. */
export interface SessionLink {
  readonly id: string;
  readonly source: string;
  readonly target: string;
  readonly type: string;
  /** Empty: not told. */
  readonly context: string;
  readonly metadata: JsonObject;
  /** Microseconds since 1970 UTC. */
  readonly createMicros: number | undefined;
}

export type NewProjectGroup = Omit<ProjectGroup, "id" | "createMicros">;
export type NewProjectDependency = Omit<ProjectDependency, "id" | "createMicros" | "type"> & {
  readonly type: DependencyType;
};

/** Which way to look from a project. */
export type Direction = "outbound" | "inbound" | "both";

/** Session-Buddy's rule for the id of a group. */
export function groupId(name: string, createMicros: number): string {
  return hash("md5", `${name}_${new Date(createMicros / 1_000).toISOString()}`, "hex");
}

/** Session-Buddy's rule for the id of a dependency: one of a kind between two projects. */
export function dependencyId(source: string, target: string, type: string): string {
  return hash("md5", `${source}_${target}_${type}`, "hex");
}

/** Whether it starts from, or leads to, this project or session. */
export function touches(
  { source, target }: Pick<ProjectDependency, "source" | "target">,
  end: string,
  direction: Direction,
): boolean {
  const outbound = direction !== "inbound" && source === end;
  const inbound = direction !== "outbound" && target === end;
  return outbound || inbound;
}

/** True for groups that hold the same projects under the same name. */
export function isSameGroup(a: NewProjectGroup, b: NewProjectGroup): boolean {
  const members = (group: NewProjectGroup) => [...new Set(group.projects)].sort().join("\n");
  return a.name === b.name && members(a) === members(b);
}
