import type { DuckDb, Row } from "./duckdb.ts";
import { tablesOf } from "./duckdb-reading.ts";
import { columnOf, firstTime, selectTime } from "./layout.ts";
import type { Table } from "./layouts.ts";
import {
  dependencyId,
  groupId,
  isSameGroup,
  type NewProjectDependency,
  type NewProjectGroup,
  type ProjectDependency,
  type ProjectGroup,
  type SessionLink,
} from "./project.ts";
import type { SessionBuddyFile } from "./session-buddy-file.ts";
import type { Signature } from "./store.ts";
import { decodeStoredText, parseMetadata } from "./stored-text.ts";
import type { WallTime } from "./wall-time.ts";

/** As Session-Buddy's first layout has them; its newest code reads these and makes none. */
const createTables = `
create table if not exists project_groups (
  id varchar primary key,
  name varchar not null,
  description text,
  projects varchar[] not null,
  created_at timestamp default current_timestamp,
  metadata json
);
create table if not exists project_dependencies (
  id varchar primary key,
  source_project varchar not null,
  target_project varchar not null,
  dependency_type varchar not null,
  description text,
  created_at timestamp default current_timestamp,
  metadata json,
  unique (source_project, target_project, dependency_type)
);
`;

const selectGroups = `select id, name, description, projects,
  epoch_us(try_cast(created_at as timestamp)) as created, metadata::varchar as metadata
  from main.project_groups order by name, id`;

const selectDependencies = `select id, source_project, target_project, dependency_type,
  description, epoch_us(try_cast(created_at as timestamp)) as created,
  metadata::varchar as metadata
  from main.project_dependencies order by source_project, target_project, dependency_type`;

/** Newer layouts of the table have no context. */
function selectLinks(table: Table): string {
  return `select id::varchar as id, source_session_id, target_session_id, link_type,
    ${columnOf(table, "context")}::varchar as context,
    ${selectTime(table, "created_at")}, ${columnOf(table, "metadata")}::varchar as metadata
    from main.session_links order by source_session_id, target_session_id, link_type, id`;
}

export interface Projects {
  /** By name. */
  readonly groups: readonly ProjectGroup[];
  /** By source, target and type. */
  readonly dependencies: readonly ProjectDependency[];
  /** By source, target and type. */
  readonly links: readonly SessionLink[];
}

/** The groups, dependencies and links of sessions in Session-Buddy's file; they are few and read whole. */
export class DuckDbProjectStore {
  readonly #file: SessionBuddyFile;
  readonly #wallTime: WallTime;
  #known: { readonly signature: Signature; readonly projects: Projects } | undefined;

  constructor(file: SessionBuddyFile, wallTime: WallTime) {
    this.#file = file;
    this.#wallTime = wallTime;
  }

  /** Opens the file only when it has changed. */
  async read(signal?: AbortSignal): Promise<Projects> {
    if (this.#known !== undefined && (await this.#file.signature()) === this.#known.signature) {
      return this.#known.projects;
    }
    const { value, signature } = await this.#file.read((database) => this.#read(database), signal);
    this.#known = { signature, projects: value };
    return value;
  }

  /** Returns the group that is there when it has the same name and projects. */
  async addGroup(draft: NewProjectGroup, signal?: AbortSignal): Promise<ProjectGroup> {
    const { value } = await this.#file.write<ProjectGroup>(async (database) => {
      const { groups } = await this.#read(database);
      const same = groups.find((group) => isSameGroup(group, draft));
      if (same !== undefined) return { value: same, changed: false };
      const createMicros = Date.now() * 1_000;
      const group = { ...draft, id: groupId(draft.name, createMicros), createMicros };
      await database.script(createTables);
      await database.rows(
        `insert into project_groups (id, name, description, projects, created_at, metadata)
         values ($1, $2, $3, $4, $5, $6)`,
        [
          group.id,
          group.name,
          group.description,
          { texts: group.projects },
          { wallMicros: this.#wallTime.fromMicros(createMicros) },
          JSON.stringify(group.metadata),
        ],
      );
      return { value: group, changed: true };
    }, signal);
    return value;
  }

  /** Replaces description and metadata of the same dependency. */
  async addDependency(
    draft: NewProjectDependency,
    signal?: AbortSignal,
  ): Promise<ProjectDependency> {
    const { value } = await this.#file.write<ProjectDependency>(async (database) => {
      await database.script(createTables);
      const { dependencies } = await this.#read(database);
      const same = dependencies.find(
        ({ source, target, type }) =>
          source === draft.source && target === draft.target && type === draft.type,
      );
      const createMicros = same?.createMicros ?? Date.now() * 1_000;
      const id = same?.id ?? dependencyId(draft.source, draft.target, draft.type);
      const metadata = JSON.stringify(draft.metadata);
      if (same === undefined) {
        await database.rows(
          `insert into project_dependencies
             (id, source_project, target_project, dependency_type, description, created_at, metadata)
           values ($1, $2, $3, $4, $5, $6, $7)`,
          [
            id,
            draft.source,
            draft.target,
            draft.type,
            draft.description,
            { wallMicros: this.#wallTime.fromMicros(createMicros) },
            metadata,
          ],
        );
      } else {
        await database.rows(
          "update project_dependencies set description = $1, metadata = $2 where id = $3",
          [draft.description, metadata, id],
        );
      }
      return { value: { ...draft, id, createMicros }, changed: true };
    }, signal);
    return value;
  }

  async #read(database: DuckDb): Promise<Projects> {
    const tables = (await tablesOf(database)).filter(({ schema }) => schema === "main");
    const has = (name: string) => tables.some((table) => table.name === name);
    const groups = has("project_groups") ? await database.rows(selectGroups) : [];
    const dependencies = has("project_dependencies") ? await database.rows(selectDependencies) : [];
    const links = tables.find(({ name, columns }) => name === "session_links" && columns.has("id"));
    const linkRows = links === undefined ? [] : await database.rows(selectLinks(links));
    return {
      links: linkRows.map((row) => ({
        id: text(row["id"]),
        source: text(row["source_session_id"]),
        target: text(row["target_session_id"]),
        type: text(row["link_type"]),
        context: text(row["context"]),
        metadata: parseMetadata(text(row["metadata"])),
        createMicros: firstTime(row, ["created_at"], this.#wallTime),
      })),
      groups: groups.map((row) => ({
        id: text(row["id"]),
        name: text(row["name"]),
        projects: Array.isArray(row["projects"]) ? row["projects"].map(text) : [],
        ...this.#described(row),
      })),
      dependencies: dependencies.map((row) => ({
        id: text(row["id"]),
        source: text(row["source_project"]),
        target: text(row["target_project"]),
        type: text(row["dependency_type"]),
        ...this.#described(row),
      })),
    };
  }

  #described(row: Row) {
    const created = row["created"];
    return {
      description: text(row["description"]),
      metadata: parseMetadata(text(row["metadata"])),
      createMicros: typeof created === "bigint" ? this.#wallTime.toMicros(created) : undefined,
    };
  }
}

function text(value: unknown): string {
  return typeof value === "string" ? decodeStoredText(value) : "";
}
