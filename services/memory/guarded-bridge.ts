import type { PeerCall } from "./deadline.ts";
import type { PeerGuard } from "./peer-guard.ts";
import type { Bridge, ProjectRegister } from "./ports.ts";

/** What searches ask of the bridge. */
export type SearchedBridge = Pick<Bridge, "search" | "canTest"> &
  Pick<ProjectRegister, "groups" | "dependencies">;

/** The bridge behind one guard: searches and reads of relations share what they learn of it. */
export class GuardedBridge implements SearchedBridge {
  readonly #bridge: Pick<Bridge, "search" | "canTest">;
  readonly #register: Pick<ProjectRegister, "groups" | "dependencies">;
  readonly #guard: PeerGuard;

  constructor(
    bridge: Pick<Bridge, "search" | "canTest">,
    register: Pick<ProjectRegister, "groups" | "dependencies">,
    guard: PeerGuard,
  ) {
    this.#bridge = bridge;
    this.#register = register;
    this.#guard = guard;
  }

  canTest(filter: Parameters<Bridge["canTest"]>[0]): boolean {
    return this.#bridge.canTest(filter);
  }

  search(call: PeerCall, search: Parameters<Bridge["search"]>[1]): ReturnType<Bridge["search"]> {
    return this.#guard.ask(call, (guarded) => this.#bridge.search(guarded, search));
  }

  groups(call: PeerCall, project: string): ReturnType<ProjectRegister["groups"]> {
    return this.#guard.ask(call, (guarded) => this.#register.groups(guarded, project));
  }

  dependencies(call: PeerCall, project: string): ReturnType<ProjectRegister["dependencies"]> {
    return this.#guard.ask(call, (guarded) => this.#register.dependencies(guarded, project));
  }
}
