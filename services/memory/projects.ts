import { type Call, type PeerCall, remainingMs, withinOrUnavailable } from "./deadline.ts";
import { type FeatureSwitches, requireOn } from "./feature-switches.ts";
import type { ProjectRegister } from "./ports.ts";
import type { ProjectDependency, ProjectGroup } from "./project.ts";

const budgetMs = 10_000;

/** Groups and dependencies of projects: Session-Buddy keeps them, through the bridge. */
export class Projects {
  readonly #register: ProjectRegister;
  readonly #switches: FeatureSwitches;

  constructor(register: ProjectRegister, switches: FeatureSwitches) {
    this.#register = register;
    this.#switches = switches;
  }

  async createGroup(call: Call, group: ProjectGroup): Promise<ProjectGroup> {
    requireOn(this.#switches, "crossSystemSharing");
    return await this.#ask(call, (peerCall) => this.#register.createGroup(peerCall, group));
  }

  async addDependency(call: Call, dependency: ProjectDependency): Promise<ProjectDependency> {
    requireOn(this.#switches, "crossSystemSharing");
    return await this.#ask(call, (peerCall) => this.#register.addDependency(peerCall, dependency));
  }

  /** By name; `project` empty: all. */
  async groups(call: Call, project: string): Promise<readonly ProjectGroup[]> {
    return await this.#ask(call, (peerCall) => this.#register.groups(peerCall, project));
  }

  #ask<T>(call: Call, ask: (peerCall: PeerCall) => Promise<T>): Promise<T> {
    return withinOrUnavailable(call, "session-buddy", remainingMs(call, budgetMs), ask);
  }
}
