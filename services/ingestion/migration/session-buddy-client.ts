import type { Timestamp } from "@bufbuild/protobuf/wkt";
import { type Client, Code, ConnectError } from "@connectrpc/connect";
import { DependencyUnavailableError } from "../../../shared/errors.ts";
import {
  type Origin,
  RecordKind as ProtoKind,
  type Record as ProtoRecord,
} from "../../../shared/gen/mahavishnu/sessionbuddy/v1/record_pb.js";
import type {
  ExportBegin,
  ExportRecordsResponse,
  RowFault as ProtoFault,
  SessionBuddyService,
} from "../../../shared/gen/mahavishnu/sessionbuddy/v1/sessionbuddy_service_pb.js";
import { outgoing } from "../../../shared/rpc/call-context.ts";
import { domainErrorOf } from "../../../shared/rpc/peer-errors.ts";
import type { Work } from "../ports.ts";
import type {
  JsonObject,
  RecordKind,
  RecordSource,
  RowFault,
  SourceFile,
  SourcePage,
  SourceReading,
  SourceRecord,
  SourceRequest,
} from "./source-record.ts";

const peer = "session-buddy";

const kindOf = new Map<ProtoKind, RecordKind>([
  [ProtoKind.REFLECTION, "reflection"],
  [ProtoKind.CONVERSATION, "conversation"],
  [ProtoKind.INSIGHT, "insight"],
  [ProtoKind.ENTITY, "entity"],
]);

/** The bridge to Session-Buddy. */
export class GrpcRecordSource implements RecordSource {
  readonly #client: Client<typeof SessionBuddyService>;

  constructor(client: Client<typeof SessionBuddyService>) {
    this.#client = client;
  }

  async open(work: Work, { path, timeZone }: SourceRequest): Promise<SourceReading> {
    const closed = new AbortController();
    const signal = AbortSignal.any([work.signal, closed.signal]);
    const close = () => closed.abort();
    const stream = this.#client
      .exportRecords({ path, sourceTimeZone: timeZone }, outgoing({ ...work, signal }))
      [Symbol.asyncIterator]();
    const next = async () => {
      try {
        return await stream.next();
      } catch (error) {
        throw toDomain(work, error);
      }
    };
    try {
      const { value, done } = await next();
      if (done === true || value.begin === undefined) throw broken("told no beginning");
      return { file: toFile(value.begin), pages: pagesOf(value, next), close };
    } catch (error) {
      close();
      throw error;
    }
  }
}

async function* pagesOf(
  first: ExportRecordsResponse,
  next: () => Promise<IteratorResult<ExportRecordsResponse>>,
): AsyncGenerator<SourcePage> {
  let page = first;
  for (;;) {
    if (page.records.length > 0 || page.faults.length > 0) yield toPage(page);
    // Without it the stream was cut short, whatever its status says.
    if (page.end !== undefined) {
      // Nothing comes any more: the call ends by itself.
      await next().catch(() => {});
      return;
    }
    const { value, done } = await next();
    if (done === true) throw broken("ended before its end");
    page = value;
  }
}

function toDomain(work: Work, error: unknown): unknown {
  work.signal.throwIfAborted();
  // Nobody of ours has cancelled: the connection was closed under the call.
  if (error instanceof ConnectError && error.code === Code.Canceled) {
    return new DependencyUnavailableError(peer, `${peer} ended the call`, error);
  }
  return domainErrorOf(error, peer);
}

function broken(what: string): DependencyUnavailableError {
  return new DependencyUnavailableError(peer, `${peer}'s export ${what}`);
}

function toFile(begin: ExportBegin): SourceFile {
  return {
    file: begin.file,
    eras: begin.eras,
    rows: Number(begin.recordRows),
    timeZone: begin.sourceTimeZone,
    unknownTables: begin.unknownTables,
    unreadFiles: begin.unreadFiles,
    lockHolder: begin.lockHolder,
  };
}

function toPage({ records, faults }: ExportRecordsResponse): SourcePage {
  return { records: records.map(toRecord), faults: faults.map(toFault) };
}

function toRecord(record: ProtoRecord): SourceRecord {
  return {
    id: record.id,
    kind: kindOf.get(record.kind) ?? "reflection",
    era: record.era,
    content: record.content,
    tags: record.tags,
    project: record.project,
    collection: record.collection,
    insightType: record.insightType,
    confidence: record.confidence,
    metadata: (record.metadata ?? {}) as JsonObject,
    createMicros: microsOf(record.createTime),
    updateMicros: microsOf(record.updateTime),
    folded: record.origins.slice(1).map(({ id, era }) => ({ id, era })),
  };
}

function toFault({ origin, reason }: ProtoFault): RowFault {
  return {
    id: origin?.id ?? "",
    kind: kindOfTable(origin),
    era: origin?.era ?? "",
    reason: origin?.id === "" ? `${origin.table}: ${reason}` : reason,
  };
}

/** A row that is no record has no kind; its table says what it would have been. */
function kindOfTable(origin: Origin | undefined): RecordKind {
  const table = origin?.table ?? "";
  if (table.startsWith("kg_")) return "entity";
  return table.includes("conversations") ? "conversation" : "reflection";
}

function microsOf(timestamp: Timestamp | undefined): bigint | undefined {
  if (timestamp === undefined) return undefined;
  return timestamp.seconds * 1_000_000n + BigInt(Math.trunc(timestamp.nanos / 1_000));
}
