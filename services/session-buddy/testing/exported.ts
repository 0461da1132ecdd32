import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Client } from "@connectrpc/connect";
import { expect } from "vitest";
import type { Record as RecordMessage } from "../../../shared/gen/mahavishnu/sessionbuddy/v1/record_pb.js";
import type {
  ExportBegin,
  ExportEnd,
  ExportRecordsRequestSchema,
  RowFault,
  SessionBuddyService,
} from "../../../shared/gen/mahavishnu/sessionbuddy/v1/sessionbuddy_service_pb.js";
import { tenantHeader } from "../../../shared/rpc/tenant.ts";

export interface Exported {
  readonly begin: ExportBegin;
  readonly end: ExportEnd;
  readonly records: readonly RecordMessage[];
  readonly faults: readonly RowFault[];
  readonly record: (id: string) => RecordMessage | undefined;
}

/** All parts of an export; throws where they do not make a whole. */
export async function exported(
  bridge: Client<typeof SessionBuddyService>,
  request: MessageInitShape<typeof ExportRecordsRequestSchema> = {},
  tenant = "default",
): Promise<Exported> {
  const headers = { [tenantHeader]: tenant };
  const records: RecordMessage[] = [];
  const faults: RowFault[] = [];
  let begin: ExportBegin | undefined;
  let end: ExportEnd | undefined;
  for await (const part of bridge.exportRecords(request, { headers })) {
    expect(end).toBeUndefined();
    if (part.begin !== undefined) {
      expect(records).toEqual([]);
      begin = part.begin;
    }
    end = part.end;
    records.push(...part.records);
    faults.push(...part.faults);
  }
  if (begin === undefined || end === undefined) throw new Error("the stream is not whole");
  expect(Number(end.records)).toBe(records.length);
  expect(Number(end.faults)).toBe(faults.length);
  expect(end.rows).toBe(begin.recordRows);
  expect(end.rows).toBe(end.records + end.folded + end.faults + end.leftOut);
  const record = (id: string) => records.find((one) => one.id === id);
  return { begin, end, records, faults, record };
}
