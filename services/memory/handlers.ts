import type { Interceptor } from "@connectrpc/connect";
import { MemoryService } from "../../shared/gen/mahavishnu/memory/v1/memory_service_pb.js";
import type { Logger } from "../../shared/logging.ts";
import { type ServiceRegistration, service } from "../../shared/rpc/service.ts";
import type { Conversations } from "./conversations.ts";
import { type FeatureSwitches, requireOn } from "./feature-switches.ts";
import type { Memories } from "./memories.ts";
import type { MemoryUpdates } from "./memory-updates.ts";
import type { MemoryMetrics } from "./metrics.ts";
import type { ProjectSearch } from "./project-search.ts";
import type { Projects } from "./projects.ts";
import { bulkStoreHandlers } from "./rpc/bulk-store.ts";
import { conversationHandlers } from "./rpc/conversations.ts";
import { memoryHandlers } from "./rpc/memories.ts";
import { projectHandlers } from "./rpc/projects.ts";
import { searchHandlers } from "./rpc/search.ts";
import { updateHandlers } from "./rpc/updates.ts";
import { workflowHandlers } from "./rpc/workflows.ts";
import type { SharedInsights } from "./shared-insights.ts";
import type { UnifiedSearch } from "./unified-search.ts";
import type { Workflows } from "./workflows.ts";

export interface MemoryDomain {
  readonly memories: Memories;
  readonly updates: MemoryUpdates;
  readonly conversations: Conversations;
  readonly workflows: Workflows;
  readonly search: UnifiedSearch;
  readonly projects: Projects;
  readonly projectSearch: ProjectSearch;
  readonly sharedInsights: SharedInsights;
  readonly metrics: MemoryMetrics;
  readonly logger: Logger;
}

/** Every RPC that is served. */
export function memoryService(domain: MemoryDomain): ServiceRegistration {
  const { memories, updates, conversations, workflows, search, metrics, logger } = domain;
  return service(MemoryService, {
    ...memoryHandlers(memories, metrics),
    ...updateHandlers(updates, metrics),
    ...bulkStoreHandlers(memories, metrics, logger),
    ...conversationHandlers(conversations, metrics),
    ...workflowHandlers(workflows, metrics),
    ...searchHandlers(search, metrics),
    ...projectHandlers(domain),
  });
}

/** Refuses every call where the service as a whole is switched off. */
export function masterSwitch(switches: FeatureSwitches): Interceptor {
  return (next) => (request) => {
    if (request.service.typeName === MemoryService.typeName) requireOn(switches, "enabled");
    return next(request);
  };
}
