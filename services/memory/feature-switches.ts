import { SwitchedOffError } from "../../shared/errors.ts";
import type { MemoryType } from "./memory.ts";

/** Parts that an operator can switch off. */
export interface FeatureSwitches {
  /** Off: every call is refused. */
  readonly enabled: boolean;
  /** Off: searches leave memories of type rag out. */
  readonly ragSearch: boolean;
  /** Off: turns and memories of type agent are refused, and searches leave them out. */
  readonly agentMemory: boolean;
  /** Off: searches do not ask Session-Buddy. */
  readonly reflectionSearch: boolean;
  /** Off: insights stay in our own memory and are not handed to Session-Buddy. */
  readonly crossSystemSharing: boolean;
  /** Off: no metrics are recorded, and no spans made but those of the RPCs themselves. */
  readonly performanceMonitoring: boolean;
}

/** The switches' names in the settings file, by which callers are told. */
export const switchNames: Readonly<Record<keyof FeatureSwitches, string>> = {
  enabled: "enabled",
  ragSearch: "enable_rag_search",
  agentMemory: "enable_agent_memory",
  reflectionSearch: "enable_reflection_search",
  crossSystemSharing: "enable_cross_system_sharing",
  performanceMonitoring: "enable_performance_monitoring",
};

/** Throws SwitchedOffError where the part is off. */
export function requireOn(switches: FeatureSwitches, name: keyof FeatureSwitches): void {
  if (!switches[name]) throw new SwitchedOffError(switchNames[name]);
}

/** The types of memories that searches leave out, each with the switch that says so. */
export function leftOutOfSearches(switches: FeatureSwitches): ReadonlyMap<MemoryType, string> {
  const off = new Map<MemoryType, string>();
  if (!switches.ragSearch) off.set("rag", switchNames.ragSearch);
  if (!switches.agentMemory) off.set("agent", switchNames.agentMemory);
  return off;
}
