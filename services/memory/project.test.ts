import { expect, it } from "vitest";
import { type DependencyType, type ProjectGroup, relatedProjects } from "./project.ts";

function dependency(source: string, type: DependencyType, target: string) {
  const id = `${source} ${type} ${target}`;
  return { id, source, target, type, description: "", metadata: {}, createTime: undefined };
}

function group(name: string, ...projects: string[]): ProjectGroup {
  return { id: name, name, description: "", projects, metadata: {}, createTime: undefined };
}

it("names what relates projects, each way, nearest first and each once", () => {
  const related = relatedProjects(
    "api",
    [
      dependency("api", "uses", "lib"),
      dependency("web", "uses", "api"),
      dependency("api", "shares_code", "lib"),
      dependency("app", "extends", "api"),
      dependency("api", "other", "legacy"),
      // None of its own.
      dependency("web", "uses", "icons"),
    ],
    [group("backend", "api", "lib", "jobs"), group("all", "jobs", "api"), group("front", "web")],
  );
  expect(related.map(({ project, relations }) => [project, ...relations])).toEqual([
    ["api", "own"],
    ["app", "extended by"],
    ["legacy", "depends on"],
    ["lib", "uses", "shares code with", "group backend"],
    ["web", "used by"],
    ["jobs", "group backend", "group all"],
  ]);
  expect(related.find(({ project }) => project === "lib")?.dependency?.type).toBe("uses");
  expect(related.at(-1)?.dependency).toBeUndefined();
});

it("knows a project without relations as its own", () => {
  expect(relatedProjects("alone", [], [])).toEqual([
    { project: "alone", relations: ["own"], dependency: undefined },
  ]);
});
