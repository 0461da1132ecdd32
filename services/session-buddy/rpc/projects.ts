import { create } from "@bufbuild/protobuf";
import { Violations } from "../../../shared/errors.ts";
import {
  DependencyType as DependencyTypeMessage,
  type ProjectDependency as ProjectDependencyMessage,
  ProjectDependencySchema,
  type ProjectGroup as ProjectGroupMessage,
  ProjectGroupSchema,
  type SessionLink as SessionLinkMessage,
  SessionLinkSchema,
} from "../../../shared/gen/mahavishnu/sessionbuddy/v1/project_pb.js";
import {
  DependencyDirection,
  type SessionBuddyService,
} from "../../../shared/gen/mahavishnu/sessionbuddy/v1/sessionbuddy_service_pb.js";
import type { ServiceImpl } from "../../../shared/rpc/service.ts";
import { toTimestamp } from "../convert.ts";
import {
  type DependencyType,
  type Direction,
  type NewProjectDependency,
  type NewProjectGroup,
  type ProjectDependency,
  type ProjectGroup,
  type SessionLink,
  touches,
} from "../project.ts";
import type { DuckDbProjectStore } from "../project-store.ts";
import type { JsonObject } from "../record.ts";

const longestName = 200;
const longestDescription = 1_000;
const mostProjects = 1_000;

type ProjectMethods = Pick<
  ServiceImpl<typeof SessionBuddyService>,
  | "createProjectGroup"
  | "listProjectGroups"
  | "addProjectDependency"
  | "listProjectDependencies"
  | "listSessionLinks"
>;

export function createProjectHandlers(store: DuckDbProjectStore): ProjectMethods {
  return {
    async createProjectGroup({ group }, { signal }) {
      return { group: toGroup(await store.addGroup(parseGroup(group), signal)) };
    },
    async listProjectGroups({ project }, { signal }) {
      const { groups } = await store.read(signal);
      const chosen = groups.filter(({ projects }) => project === "" || projects.includes(project));
      return { groups: chosen.map(toGroup) };
    },
    async addProjectDependency({ dependency }, { signal }) {
      const added = await store.addDependency(parseDependency(dependency), signal);
      return { dependency: toDependency(added) };
    },
    async listProjectDependencies({ project, direction }, { signal }) {
      const way = parseDirection(direction);
      const { dependencies } = await store.read(signal);
      const chosen = dependencies.filter((one) => project === "" || touches(one, project, way));
      return { dependencies: chosen.map(toDependency) };
    },
    async listSessionLinks({ sessionId, direction }, { signal }) {
      const way = parseDirection(direction);
      const { links } = await store.read(signal);
      const chosen = links.filter((one) => sessionId === "" || touches(one, sessionId, way));
      return { links: chosen.map(toLink) };
    },
  };
}

const typeMessages = {
  uses: DependencyTypeMessage.USES,
  extends: DependencyTypeMessage.EXTENDS,
  references: DependencyTypeMessage.REFERENCES,
  shares_code: DependencyTypeMessage.SHARES_CODE,
} as const satisfies { readonly [T in DependencyType]: DependencyTypeMessage };

const typeNames = new Map<DependencyTypeMessage, DependencyType>(
  (Object.keys(typeMessages) as DependencyType[]).map((type) => [typeMessages[type], type]),
);

const directions: Readonly<Record<DependencyDirection, Direction>> = {
  [DependencyDirection.UNSPECIFIED]: "both",
  [DependencyDirection.OUTBOUND]: "outbound",
  [DependencyDirection.INBOUND]: "inbound",
  [DependencyDirection.BOTH]: "both",
};

function parseDirection(message: DependencyDirection): Direction {
  const violations = new Violations();
  violations.require(message in directions, "direction", "is no known direction");
  violations.throwIfAny();
  return directions[message];
}

function parseGroup(message: ProjectGroupMessage | undefined): NewProjectGroup {
  const violations = new Violations();
  const { name = "", description = "", projects = [], metadata = {} } = message ?? {};
  const length = [...name].length;
  violations.require(
    name.trim() !== "" && length <= longestName,
    "group.name",
    `must be 1 to ${longestName} characters, not blank`,
  );
  requireDescription(violations, "group.description", description);
  violations.require(
    projects.length >= 1 && projects.length <= mostProjects,
    "group.projects",
    "must be 1 to 1,000 projects",
  );
  projects.forEach((project, at) => {
    violations.require(project.trim() !== "", `group.projects[${at}]`, "must not be blank");
  });
  violations.throwIfAny();
  return { name, description, projects, metadata: metadata as JsonObject };
}

function parseDependency(message: ProjectDependencyMessage | undefined): NewProjectDependency {
  const violations = new Violations();
  const source = message?.sourceProject ?? "";
  const target = message?.targetProject ?? "";
  const type = typeNames.get(message?.dependencyType ?? DependencyTypeMessage.UNSPECIFIED);
  const description = message?.description ?? "";
  violations.require(source.trim() !== "", "dependency.source_project", "must not be blank");
  violations.require(target.trim() !== "", "dependency.target_project", "must not be blank");
  violations.require(
    source !== target || source === "",
    "dependency.target_project",
    "must be another project than the source",
  );
  if (type === undefined) violations.add("dependency.dependency_type", "must be a known type");
  requireDescription(violations, "dependency.description", description);
  violations.throwIfAny();
  return {
    source,
    target,
    type: type ?? "uses",
    description,
    metadata: (message?.metadata ?? {}) as JsonObject,
  };
}

function requireDescription(violations: Violations, field: string, description: string): void {
  violations.require(
    [...description].length <= longestDescription,
    field,
    "must be at most 1,000 characters",
  );
}

function toGroup({ createMicros, projects, ...group }: ProjectGroup): ProjectGroupMessage {
  return create(ProjectGroupSchema, {
    ...group,
    projects: [...projects],
    ...(createMicros === undefined ? {} : { createTime: toTimestamp(createMicros) }),
  });
}

function toDependency(dependency: ProjectDependency): ProjectDependencyMessage {
  const { id, source, target, type, description, metadata, createMicros } = dependency;
  return create(ProjectDependencySchema, {
    id,
    sourceProject: source,
    targetProject: target,
    // Another word of Session-Buddy's has no value in the contract; it shows as unspecified.
    dependencyType: typeMessages[type as DependencyType] ?? DependencyTypeMessage.UNSPECIFIED,
    description,
    metadata,
    ...(createMicros === undefined ? {} : { createTime: toTimestamp(createMicros) }),
  });
}

function toLink({ source, target, type, createMicros, ...link }: SessionLink): SessionLinkMessage {
  return create(SessionLinkSchema, {
    ...link,
    sourceSessionId: source,
    targetSessionId: target,
    linkType: type,
    ...(createMicros === undefined ? {} : { createTime: toTimestamp(createMicros) }),
  });
}
