import type { SessionBuddyService } from "../../shared/gen/mahavishnu/sessionbuddy/v1/sessionbuddy_service_pb.js";
import { callContext } from "../../shared/rpc/call-context.ts";
import type { ServiceImpl } from "../../shared/rpc/service.ts";
import type { BridgeStatusReader } from "./bridge-status.ts";
import {
  parseInsight,
  parseReflection,
  parseSearch,
  toSearchResponse,
  toStatus,
  toStored,
} from "./convert.ts";
import type { Mirror } from "./mirror.ts";
import type { DuckDbProjectStore } from "./project-store.ts";
import { createProjectHandlers } from "./rpc/projects.ts";
import type { ReflectionSearch } from "./search.ts";

export interface HandlerParts {
  readonly mirror: Mirror;
  readonly search: ReflectionSearch;
  readonly projects: DuckDbProjectStore;
  readonly status: BridgeStatusReader;
}

export function createHandlers(
  parts: HandlerParts,
): Partial<ServiceImpl<typeof SessionBuddyService>> {
  const { mirror, search, projects, status } = parts;
  return {
    ...createProjectHandlers(projects),
    async searchReflections(request, context) {
      const { tenant, signal } = callContext(context);
      return toSearchResponse(await search.search(parseSearch(request, tenant), signal));
    },
    async storeInsight(request, context) {
      const { tenant, signal } = callContext(context);
      return toStored(await mirror.append(parseInsight(request, tenant), signal));
    },
    async storeReflection(request, context) {
      const { tenant, signal } = callContext(context);
      return toStored(await mirror.append(parseReflection(request, tenant), signal));
    },
    async getStatus() {
      return toStatus(await status.read());
    },
  };
}
