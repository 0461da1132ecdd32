import { createClient, type Transport } from "@connectrpc/connect";
import { DomainError } from "../../shared/errors.ts";
import { SessionBuddyService } from "../../shared/gen/mahavishnu/sessionbuddy/v1/sessionbuddy_service_pb.js";
import { outgoing } from "../../shared/rpc/call-context.ts";
import { domainErrorOf } from "../../shared/rpc/peer-errors.ts";
import type { PeerCall } from "./deadline.ts";
import type { ProjectRegister } from "./ports.ts";
import type { ProjectDependency, ProjectGroup } from "./project.ts";
import { toDependency, toGroup, toProtoDependency, toProtoGroup } from "./rpc/project-messages.ts";

const dependencyName = "session-buddy";

/** The bridge's groups and dependencies over RPC. It checks what it is given, by the same names. */
export class ProjectRegisterClient implements ProjectRegister {
  readonly #client;

  constructor(transport: Transport) {
    this.#client = createClient(SessionBuddyService, transport);
  }

  async createGroup(call: PeerCall, group: ProjectGroup): Promise<ProjectGroup> {
    const request = { group: toProtoGroup(group) };
    const answer = await told(this.#client.createProjectGroup(request, outgoing(call)));
    if (answer.group === undefined) throw garbled();
    return toGroup(answer.group);
  }

  async groups(call: PeerCall, project: string): Promise<ProjectGroup[]> {
    const { groups } = await told(this.#client.listProjectGroups({ project }, outgoing(call)));
    return groups.map(toGroup);
  }

  async addDependency(call: PeerCall, dependency: ProjectDependency): Promise<ProjectDependency> {
    const request = { dependency: toProtoDependency(dependency) };
    const answer = await told(this.#client.addProjectDependency(request, outgoing(call)));
    if (answer.dependency === undefined) throw garbled();
    return toDependency(answer.dependency);
  }

  async dependencies(call: PeerCall, project: string): Promise<ProjectDependency[]> {
    const request = { project };
    const answer = await told(this.#client.listProjectDependencies(request, outgoing(call)));
    return answer.dependencies.map(toDependency);
  }
}

async function told<T>(answer: Promise<T>): Promise<T> {
  try {
    return await answer;
  } catch (error) {
    throw domainErrorOf(error, dependencyName);
  }
}

function garbled(): DomainError {
  return new DomainError("internal", "INTERNAL", "session-buddy gave a garbled answer");
}
