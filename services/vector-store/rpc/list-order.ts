import type { Violations } from "../../../shared/errors.ts";
import type { StoredDocument } from "../document.ts";
import { InvalidPageTokenError } from "../page-token.ts";
import type { ListOrder, ListQuery } from "../store.ts";

const orders = new Map<string, ListOrder>(
  (["id", "create_time", "update_time"] as const).flatMap((by) => [
    [by, { by, descending: false }],
    [`${by} desc`, { by, descending: true }],
  ]),
);
const byId: ListOrder = { by: "id", descending: false };

export function parseOrder(orderBy: string, violations: Violations): ListOrder {
  if (orderBy === "") return byId;
  const order = orders.get(orderBy);
  if (order === undefined)
    violations.add("order_by", `must be one of ${[...orders.keys()].join(", ")}`);
  return order ?? byId;
}

/** The place of a document as a text, for a page token. */
export function placeText({ by }: ListOrder, document: StoredDocument): string {
  if (by === "id") return document.id;
  const time = by === "create_time" ? document.createTime : document.updateTime;
  return `${time} ${document.id}`;
}

/** What `placeText` made; undefined for the first page. */
export function placeOf(
  { by }: ListOrder,
  text: string | undefined,
): Pick<ListQuery, "after" | "afterTime"> {
  if (text === undefined || by === "id") return { after: text };
  const [, time, id] = /^(-?\d{1,18}) (.+)$/s.exec(text) ?? [];
  if (time === undefined || id === undefined) throw new InvalidPageTokenError();
  return { after: id, afterTime: BigInt(time) };
}
