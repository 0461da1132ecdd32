import {
  columnOf,
  firstTime,
  type Layout,
  qualified,
  type RecordSource,
  recordOf,
  selectTime,
  tagsOf,
  text,
} from "./layout.ts";
import type { Table } from "./layouts.ts";
import type { JsonObject, JsonValue } from "./record.ts";
import { decodeStoredText, isJsonObject, parseMetadata, parseStoredJson } from "./stored-text.ts";

/**
 * The knowledge graph: `kg_entities` with their observations, each a record, and
 * `kg_relationships`, which stand in the metadata of the entity that they start from.
 */
export const graphLayout: Layout = {
  sourcesOf(tables, era, fileName) {
    if (era !== "KG") return [];
    const entities = tables.find(({ name }) => name === "kg_entities");
    const relations = tables.find(({ name }) => name === "kg_relationships");
    return [
      ...(entities === undefined ? [] : [entitySource(entities, relations, graphName(fileName))]),
      ...(relations === undefined ? [] : [danglingSource(relations, entities)]),
    ];
  },
};

/** `knowledge_graph_team.duckdb` -> `team`. */
function graphName(fileName: string): string {
  return /^knowledge_graph_(.+)\.duckdb$/.exec(fileName)?.[1] ?? "";
}

function entitySource(
  table: Table,
  relations: Table | undefined,
  collection: string,
): RecordSource {
  const of = (name: string) => {
    const column = columnOf(table, name);
    return column === "null" ? column : `e.${column}`;
  };
  return {
    era: "KG",
    table,
    sql: `select e.id::varchar as id, e.name::varchar as name,
      e.entity_type::varchar as entity_type, ${of("observations")} as observations,
      ${of("properties")}::varchar as properties, ${of("metadata")}::varchar as metadata,
      ${selectTime(table, "created_at", of("created_at"))},
      ${selectTime(table, "updated_at", of("updated_at"))},
      ${relations === undefined ? "null" : "r.relations::varchar"} as relations
    from ${qualified(table)} e ${relations === undefined ? "" : joinRelations(table, relations)}`,
    toRecord(row, wallTime) {
      const name = decodeStoredText(text(row["name"]));
      const type = decodeStoredText(text(row["entity_type"]));
      const observations = tagsOf(row["observations"]);
      const metadata: JsonObject = {
        ...parseMetadata(text(row["metadata"])),
        name,
        entity_type: type,
        ...entry("properties", parseMetadata(text(row["properties"]))),
        ...entry("relations", relationsOf(text(row["relations"]))),
      };
      return recordOf({
        id: text(row["id"]),
        kind: "entity",
        content: name.trim() === "" ? "" : [`${name} (${type})`, ...observations].join("\n"),
        tags: type === "" ? [] : [type],
        project: text(metadata["project"]),
        collection,
        insightType: "",
        confidence: undefined,
        metadata: JSON.stringify(metadata),
        createMicros: firstTime(row, ["created_at"], wallTime),
        updateMicros: firstTime(row, ["updated_at"], wallTime),
      });
    },
  };
}

/** What an entity's relationships are, with the names of what they lead to, as JSON. */
function joinRelations(entities: Table, relations: Table): string {
  return `left join (
      select k.from_entity, to_json(list({
        id: ${columnOf(relations, "id") === "null" ? "null" : "k.id"}::varchar, relation_type: k.relation_type,
        to_entity: k.to_entity, to_name: t.name,
        properties: ${columnOf(relations, "properties") === "null" ? "null" : "k.properties"}::varchar
      } order by k.relation_type, k.to_entity)) as relations
      from (select * from ${qualified(relations)}) k
      left join (select id, name from ${qualified(entities)}) t on t.id = k.to_entity
      group by k.from_entity) r on r.from_entity = e.id`;
}

/** Relationships that start from nothing: no record can carry them. */
function danglingSource(relations: Table, entities: Table | undefined): RecordSource {
  const absent =
    entities === undefined
      ? ""
      : `where from_entity not in (select id from ${qualified(entities)} where id is not null)`;
  return {
    era: "KG",
    table: relations,
    sql: `select ${columnOf(relations, "id")}::varchar as id, from_entity::varchar as from_entity
      from ${qualified(relations)} ${absent}`,
    toRecord: (row) => ({
      id: text(row["id"]),
      reason: `it starts from an entity that is not there: ${text(row["from_entity"])}`,
    }),
  };
}

/** The relationships of an entity, their properties unwrapped. */
function relationsOf(json: string): JsonValue {
  const relations = json === "" ? [] : (parseStoredJson(json) ?? json);
  if (!Array.isArray(relations)) return relations;
  return relations.map((relation) => {
    if (!isJsonObject(relation) || typeof relation["properties"] !== "string") return relation;
    return { ...relation, properties: parseMetadata(relation["properties"]) };
  });
}

/** Left out where it says nothing. */
function entry(key: string, value: JsonValue): JsonObject {
  const empty = typeof value === "object" && value !== null && Object.keys(value).length === 0;
  return empty ? {} : { [key]: value };
}
