import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  type ProjectDependencySchema,
  type ProjectGroupSchema,
  type ProjectDependency as ProtoDependency,
  DependencyType as ProtoDependencyType,
  type ProjectGroup as ProtoGroup,
} from "../../../shared/gen/mahavishnu/sessionbuddy/v1/project_pb.js";
import { microsOf, toTimestamp } from "../convert.ts";
import type { DependencyType, ProjectDependency, ProjectGroup } from "../project.ts";

const protoTypes: Readonly<Record<DependencyType, ProtoDependencyType>> = {
  uses: ProtoDependencyType.USES,
  extends: ProtoDependencyType.EXTENDS,
  references: ProtoDependencyType.REFERENCES,
  shares_code: ProtoDependencyType.SHARES_CODE,
  // On the way in the bridge refuses it; on the way out it is a word that the contract lacks.
  other: ProtoDependencyType.UNSPECIFIED,
};
const typeOf = new Map<ProtoDependencyType, DependencyType>(
  (Object.keys(protoTypes) as DependencyType[]).map((type) => [protoTypes[type], type]),
);

export function toGroup(message: ProtoGroup): ProjectGroup {
  const { id, name, description, projects, metadata = {}, createTime } = message;
  return { id, name, description, projects, metadata, createTime: microsOf(createTime) };
}

export function toProtoGroup(group: ProjectGroup): MessageInitShape<typeof ProjectGroupSchema> {
  const { createTime, projects, ...rest } = group;
  return {
    ...rest,
    projects: [...projects],
    ...(createTime === undefined ? {} : { createTime: toTimestamp(createTime) }),
  };
}

export function toDependency(message: ProtoDependency): ProjectDependency {
  const { id, sourceProject, targetProject, dependencyType, description, createTime } = message;
  return {
    id,
    source: sourceProject,
    target: targetProject,
    type: typeOf.get(dependencyType) ?? "other",
    description,
    metadata: message.metadata ?? {},
    createTime: microsOf(createTime),
  };
}

export function toProtoDependency(
  dependency: ProjectDependency,
): MessageInitShape<typeof ProjectDependencySchema> {
  const { id, source, target, type, description, metadata, createTime } = dependency;
  return {
    id,
    sourceProject: source,
    targetProject: target,
    dependencyType: protoTypes[type],
    description,
    metadata,
    ...(createTime === undefined ? {} : { createTime: toTimestamp(createTime) }),
  };
}
