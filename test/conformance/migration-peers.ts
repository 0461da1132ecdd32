import type { MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError, type ConnectRouter } from "@connectrpc/connect";
import {
  RecordKind,
  type RecordSchema,
} from "../../shared/gen/mahavishnu/sessionbuddy/v1/record_pb.js";
import {
  type RowFaultSchema,
  SessionBuddyService,
} from "../../shared/gen/mahavishnu/sessionbuddy/v1/sessionbuddy_service_pb.js";

export type FakeRecord = MessageInitShape<typeof RecordSchema> & { readonly content: string };

/** A bridge with records that tests plant, and that fails when told to. */
export class FakeBridge {
  records: FakeRecord[] = [];
  faults: MessageInitShape<typeof RowFaultSchema>[] = [];
  pageSize = 3;
  /** How many readings were begun. */
  readings = 0;
  lastRequest: { readonly path: string; readonly sourceTimeZone: string } | undefined;
  /** Called before a page of records, from 0; throws in its place, or waits. */
  onPage: (page: number, reading: number) => void | Promise<void> = () => {};

  register(router: ConnectRouter): void {
    router.service(SessionBuddyService, this.methods);
  }

  get methods() {
    return { exportRecords: this.#exportRecords.bind(this) };
  }

  async *#exportRecords({ path, sourceTimeZone }: { path: string; sourceTimeZone: string }) {
    const reading = this.readings++;
    this.lastRequest = { path, sourceTimeZone };
    if (path === "/missing.duckdb") throw new ConnectError("no such file", Code.NotFound);
    const { records, faults } = this;
    yield {
      begin: {
        file: path === "" ? "/configured.duckdb" : path,
        eras: ["A", "F"],
        recordRows: BigInt(records.length + faults.length),
        sourceTimeZone: sourceTimeZone === "" ? "Asia/Kolkata" : sourceTimeZone,
        unknownTables: ["strange"],
        lockHolder: "python3 (PID 1)",
      },
    };
    for (let at = 0, page = 0; at < records.length; at += this.pageSize, page++) {
      await this.onPage(page, reading);
      yield { records: records.slice(at, at + this.pageSize) };
    }
    if (faults.length > 0) yield { faults };
    yield { end: {} };
  }
}

/** Reflections with texts of their own, ids in order. */
export function reflections(count: number, text = "lesson"): FakeRecord[] {
  return Array.from({ length: count }, (_, index) => ({
    id: `r${String(index).padStart(4, "0")}`,
    kind: RecordKind.REFLECTION,
    era: "F",
    content: `${text} number ${index}`,
    createTime: { seconds: BigInt(1_700_000_000 + index), nanos: 123_000 },
  }));
}
