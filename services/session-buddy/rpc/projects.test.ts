import { hash } from "node:crypto";
import { join } from "node:path";
import { type Client, Code, ConnectError, createClient } from "@connectrpc/connect";
import { afterEach, beforeEach, expect, test } from "vitest";
import { BadRequestSchema } from "../../../shared/gen/google/rpc/error_details_pb.js";
import { DependencyType } from "../../../shared/gen/mahavishnu/sessionbuddy/v1/project_pb.js";
import {
  DependencyDirection,
  SessionBuddyService,
} from "../../../shared/gen/mahavishnu/sessionbuddy/v1/sessionbuddy_service_pb.js";
import { Resources } from "../../../shared/lifecycle.ts";
import { createGrpcTransport } from "../../../shared/rpc/client.ts";
import { query, script, startBridge, temporaryFolder } from "../testing/session-buddy-files.ts";

let resources: Resources;
let file: string;
let bridge: Client<typeof SessionBuddyService>;

beforeEach(async () => {
  resources = new Resources();
  const folder = resources.use("folder", await temporaryFolder());
  file = join(folder.path, "reflection.duckdb");
  const app = resources.use("app", await startBridge(folder.path));
  const transport = createGrpcTransport({ address: app.address, retry: { maxAttempts: 1 } });
  resources.defer("client", () => transport.close());
  bridge = createClient(SessionBuddyService, transport);
});

afterEach(() => resources[Symbol.asyncDispose]());

test("groups are stored in Session-Buddy's tables, listed by name, found by project", async () => {
  expect((await bridge.listProjectGroups({})).groups).toEqual([]);
  const draft = { name: "platform", projects: ["a", "b"], description: "d", metadata: { k: 1 } };
  const { group } = await bridge.createProjectGroup({ group: draft });
  expect(group).toMatchObject(draft);
  expect(group?.id).toMatch(/^[0-9a-f]{32}$/);
  expect((await bridge.createProjectGroup({ group: draft })).group?.id).toBe(group?.id);
  await bridge.createProjectGroup({ group: { name: "another", projects: ["b"] } });
  const names = async (project: string) =>
    (await bridge.listProjectGroups({ project })).groups.map(({ name }) => name);
  expect(await names("")).toEqual(["another", "platform"]);
  expect(await names("a")).toEqual(["platform"]);
  expect((await bridge.listProjectGroups({ project: "a" })).groups[0]).toEqual(group);
  expect(await query(file, "select name, projects from project_groups order by name")).toEqual([
    { name: "another", projects: ["b"] },
    { name: "platform", projects: ["a", "b"] },
  ]);
});

test("a dependency has Session-Buddy's id; adding it again replaces its description", async () => {
  const draft = {
    sourceProject: "a",
    targetProject: "b",
    dependencyType: DependencyType.SHARES_CODE,
    description: "first",
  };
  const { dependency } = await bridge.addProjectDependency({ dependency: draft });
  expect(dependency?.id).toBe(hash("md5", "a_b_shares_code", "hex"));
  await bridge.addProjectDependency({ dependency: { ...draft, description: "second" } });
  await bridge.addProjectDependency({
    dependency: {
      ...draft,
      sourceProject: "c",
      targetProject: "a",
      dependencyType: DependencyType.USES,
    },
  });
  const list = async (project: string, direction: DependencyDirection) =>
    (await bridge.listProjectDependencies({ project, direction })).dependencies.map(
      ({ sourceProject, targetProject, description }) =>
        `${sourceProject}>${targetProject} ${description}`,
    );
  expect(await list("", DependencyDirection.UNSPECIFIED)).toEqual(["a>b second", "c>a first"]);
  expect(await list("a", DependencyDirection.BOTH)).toEqual(["a>b second", "c>a first"]);
  expect(await list("a", DependencyDirection.OUTBOUND)).toEqual(["a>b second"]);
  expect(await list("a", DependencyDirection.INBOUND)).toEqual(["c>a first"]);
});

test("what Session-Buddy adds is listed", async () => {
  await bridge.addProjectDependency({
    dependency: { sourceProject: "a", targetProject: "b", dependencyType: DependencyType.USES },
  });
  await bridge.listProjectDependencies({});
  await script(
    file,
    `insert into project_dependencies (id, source_project, target_project, dependency_type)
     values ('x', 'd', 'e', 'continuation')`,
  );
  const { dependencies } = await bridge.listProjectDependencies({ project: "e" });
  expect(dependencies[0]).toMatchObject({ id: "x", dependencyType: DependencyType.UNSPECIFIED });
});

test.each([
  ["the older layout", "context text,", "'because'", "because"],
  ["the newest layout", "", undefined, ""],
])("links of sessions are read in %s", async (_, column, value, context) => {
  expect((await bridge.listSessionLinks({})).links).toEqual([]);
  await script(
    file,
    `create table session_links (id varchar primary key, source_session_id varchar not null,
       target_session_id varchar not null, link_type varchar not null, ${column}
       created_at timestamp default now(), metadata json);
     insert into session_links by name select 'l1' as id, 's1' as source_session_id,
       's2' as target_session_id, 'continuation' as link_type, '{"k": 1}' as metadata
       ${value === undefined ? "" : `, ${value} as context`}, timestamp '2026-07-01 10:00:00' as created_at;
     insert into session_links by name select 'l2' as id, 's3' as source_session_id,
       's1' as target_session_id, 'related' as link_type`,
  );
  const { links } = await bridge.listSessionLinks({ sessionId: "s1" });
  expect(links).toMatchObject([
    { id: "l1", sourceSessionId: "s1", targetSessionId: "s2", context, metadata: { k: 1 } },
    { id: "l2", linkType: "related", context: "" },
  ]);
  expect(links[0]?.createTime?.seconds).toBe(BigInt(Date.parse("2026-07-01T10:00:00Z") / 1_000));
  const inbound = { sessionId: "s1", direction: DependencyDirection.INBOUND };
  expect((await bridge.listSessionLinks(inbound)).links.map(({ id }) => id)).toEqual(["l2"]);
  expect((await bridge.listSessionLinks({ sessionId: "none" })).links).toEqual([]);
});

test("every wrong field is named at once", async () => {
  const fieldsOf = async (call: Promise<unknown>) => {
    const error = ConnectError.from(await call.catch((reason: unknown) => reason));
    expect(error.code).toBe(Code.InvalidArgument);
    return error
      .findDetails(BadRequestSchema)
      .flatMap(({ fieldViolations }) => fieldViolations.map(({ field }) => field));
  };
  expect(
    await fieldsOf(
      bridge.createProjectGroup({
        group: { projects: ["a", " "], description: "x".repeat(1_001) },
      }),
    ),
  ).toEqual(["group.name", "group.description", "group.projects[1]"]);
  expect(await fieldsOf(bridge.createProjectGroup({}))).toEqual(["group.name", "group.projects"]);
  expect(
    await fieldsOf(
      bridge.addProjectDependency({ dependency: { sourceProject: "a", targetProject: "a" } }),
    ),
  ).toEqual(["dependency.target_project", "dependency.dependency_type"]);
});
