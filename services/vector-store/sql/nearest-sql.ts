import { encodeVector } from "../../../shared/postgres/vector-codec.ts";
import type { DistanceName } from "../collection.ts";
import { type NearestPlan, stepOf } from "../search-plan.ts";
import { asStored, type DocumentTable } from "./document-table.ts";
import type { SqlParameters } from "./parameters.ts";

const operators: Readonly<Record<DistanceName, string>> = {
  cosine: "<=>",
  euclidean: "<->",
  // The negative inner product.
  dot_product: "<#>",
};

/** One vector that the documents of a table are compared with. */
export class Comparison {
  readonly #table: DocumentTable;
  readonly #vector: string;

  constructor(table: DocumentTable, vector: ArrayLike<number>, parameters: SqlParameters) {
    this.#table = table;
    const given = `${parameters.add(encodeVector(vector))}::vector`;
    // A conversion is done once, and not again for each row.
    const stored = asStored(table, given);
    this.#vector = stored === given ? given : `(select ${stored})`;
  }

  /** In the operator's own words: what an index is ordered by. */
  get distance(): string {
    return `m.embedding ${operators[this.#table.distance]} ${this.#vector}`;
  }

  /**
   * The higher the nearer, without bounds, so that it orders what a score cuts off. Of single
   * precision, as scores travel, so that what a caller sees as equal is ordered by id.
   */
  closeness(distance: string = this.distance): string {
    return this.#table.distance === "cosine"
      ? `(1 - (${distance}))::real`
      : `(0 - (${distance}))::real`;
  }

  /** The score of 0 to 1 that a closeness means; never orders two against their closeness. */
  score(closeness: string): string {
    switch (this.#table.distance) {
      case "cosine":
        return `greatest(least(${closeness}, 1), 0)::real`;
      case "euclidean":
        return `(1 / (1 - least(${closeness}, 0)::float8))::real`;
      case "dot_product":
        return `(0.5 + ${closeness}::float8 / (2 + 2 * abs(${closeness}::float8)))::real`;
    }
  }
}

/**
 * CTEs that end in `<into> (id, closeness)`, the nearest of the scope by the documents' own vectors,
 * in no order. `scope` is a
 * condition on the table alias `m`.
 *
 * Where an index is asked, its scan is fenced by `offset 0`: no estimate of what the scope leaves
 * over can lead the planner to another one, so that the plan of a prepared statement is good for
 * every tenant. What it brings is ranked again; where that is less than wanted, the second branch
 * scans, which otherwise is not even begun. A limit that is a parameter would count as a tenth of
 * the table: so there is a literal one around what is wanted.
 */
export function nearestSql(
  { name }: DocumentTable,
  comparison: Comparison,
  plan: NearestPlan,
  scope: string,
  wanted: { readonly count: number; readonly sql: string },
  into: string,
): string {
  const most = plan.by === "index" ? plan.candidates : (stepOf(wanted.count) ?? wanted.count);
  const scan = (condition: string) => `
  select id, closeness from (
    select m.id, ${comparison.closeness()} as closeness
    from ${name} m
    where ${scope} and m.embedding is not null${condition}
    order by closeness desc, m.id limit ${most}
  ) m order by closeness desc, id limit ${wanted.sql}`;
  if (plan.by === "scan") {
    // PostgreSQL keeps one plan of a statement for tenants of every size, once it looks good.
    const mark = plan.small ? " /* of a small scope */" : "";
    return `${into} as materialized (${mark}${scan("")}\n)`;
  }
  const brought = "(select count(*) from approximate)";
  return `
settings as materialized (
  select ${settingsOf(plan)
    .map(([key, value]) => `set_config('${key}', '${value}', true)`)
    .join(", ")}
),
approximate as materialized (
  select found.id, found.distance
  from settings cross join lateral (
    select m.id, m.distance
    from (
      select m.*, ${comparison.distance} as distance
      from ${name} m order by ${comparison.distance} offset 0
    ) m
    where ${scope}
    limit ${plan.candidates}
  ) found
),
${into} as materialized (
  (
    select id, ${comparison.closeness("distance")} as closeness from approximate
    where ${brought} >= ${wanted.sql}
    order by closeness desc, id limit ${wanted.sql}
  )
  union all
  (${scan(` and ${brought} < ${wanted.sql}`)})
)`;
}

/** For this statement alone: what a session sets is everybody's on the embedded server. */
function settingsOf(plan: Extract<NearestPlan, { by: "index" }>): [string, string][] {
  const { kind, effort } = plan;
  return [
    [kind === "hnsw" ? "hnsw.ef_search" : "ivfflat.probes", String(effort)],
    [`${kind}.iterative_scan`, "relaxed_order"],
  ];
}
