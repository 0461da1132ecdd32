import type { SessionBuddyService } from "../../shared/gen/mahavishnu/sessionbuddy/v1/sessionbuddy_service_pb.js";
import { callContext } from "../../shared/rpc/call-context.ts";
import type { ServiceImpl } from "../../shared/rpc/service.ts";
import type { BridgeStatusReader } from "./bridge-status.ts";
import {
  parseExport,
  parseInsight,
  parseReflection,
  parseSearch,
  toExportResponse,
  toSearchResponse,
  toStatus,
  toStored,
} from "./convert.ts";
import type { RecordExport } from "./export.ts";
import type { DuckDbProjectStore } from "./project-store.ts";
import { createProjectHandlers } from "./rpc/projects.ts";
import type { ReflectionSearch } from "./search.ts";
import type { SessionBuddyFiles } from "./session-buddy-files.ts";
import type { WallTime } from "./wall-time.ts";
import type { Writing } from "./writing.ts";

export interface HandlerParts {
  readonly writing: Writing;
  readonly search: ReflectionSearch;
  readonly projects: DuckDbProjectStore;
  readonly status: BridgeStatusReader;
  readonly exports: RecordExport;
  /** The configured files. */
  readonly files: SessionBuddyFiles;
  /** Those of another path, where it may be read. */
  readonly filesAt: (path: string) => Promise<SessionBuddyFiles>;
  /** Of the configured zone. */
  readonly wallTime: WallTime;
}

export function createHandlers(
  parts: HandlerParts,
): Partial<ServiceImpl<typeof SessionBuddyService>> {
  const { writing, search, projects, status } = parts;
  return {
    ...createProjectHandlers(projects),
    async searchReflections(request, context) {
      const { tenant, signal } = callContext(context);
      return toSearchResponse(await search.search(parseSearch(request, tenant), signal));
    },
    async storeInsight(request, context) {
      const { tenant, signal } = callContext(context);
      return toStored(await writing.store(parseInsight(request, tenant), signal));
    },
    async storeReflection(request, context) {
      const { tenant, signal } = callContext(context);
      return toStored(await writing.store(parseReflection(request, tenant), signal));
    },
    async *exportRecords(request, context) {
      const { tenant, signal } = callContext(context);
      const { path, wallTime = parts.wallTime, kinds } = parseExport(request);
      const files = path === "" ? parts.files : await parts.filesAt(path);
      for await (const part of parts.exports.run({ files, wallTime, tenant, kinds }, signal)) {
        yield toExportResponse(part);
      }
    },
    async getStatus() {
      return toStatus(await status.read());
    },
  };
}
