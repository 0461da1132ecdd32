import { Code, ConnectError, createRouterTransport, type ServiceImpl } from "@connectrpc/connect";
import { DomainError, InvalidRequestError } from "../../../shared/errors.ts";
import {
  Health,
  HealthCheckResponse_ServingStatus as ServingStatus,
} from "../../../shared/gen/health/v1/health_pb.js";
import { EmbeddingService } from "../../../shared/gen/mahavishnu/embedding/v1/embedding_service_pb.js";
import type {
  ProjectDependency,
  ProjectGroup,
} from "../../../shared/gen/mahavishnu/sessionbuddy/v1/project_pb.js";
import { Delivery, RecordKind } from "../../../shared/gen/mahavishnu/sessionbuddy/v1/record_pb.js";
import type {
  AddProjectDependencyRequest,
  CreateProjectGroupRequest,
  ListProjectDependenciesRequest,
  ListProjectGroupsRequest,
  StoreInsightRequest,
} from "../../../shared/gen/mahavishnu/sessionbuddy/v1/sessionbuddy_service_pb.js";
import { SessionBuddyService } from "../../../shared/gen/mahavishnu/sessionbuddy/v1/sessionbuddy_service_pb.js";
import { sleep } from "../../../shared/lifecycle.ts";
import { toConnectError } from "../../../shared/rpc/errors.ts";
import type { PeerTransports } from "../app.ts";
import { FakeVectorStore } from "./vector-store.ts";

/** How a peer behaves: as it should, away, silent until its caller gives up, or broken inside. */
export type Mood = "up" | "down" | "silent" | "broken";

/** The three peers as routers in this process, each with a mood that tests change. */
export class FakePeers {
  readonly moods: Record<keyof PeerTransports, Mood> = {
    embedding: "up",
    vectorStore: "up",
    sessionBuddy: "up",
  };
  /** Texts that the embedding model refuses. */
  readonly refusedTexts = new Set<string>();
  model = "fake-model";
  /** Texts that were embedded, in their order. */
  readonly embedded: string[] = [];
  readonly vectorStore = new FakeVectorStore();
  /** Insights that the bridge was given, by request id. */
  readonly delivered = new Map<string, StoreInsightRequest>();
  /** Searches that the bridge was asked. */
  readonly bridgeSearches: Parameters<
    ServiceImpl<typeof SessionBuddyService>["searchReflections"]
  >[0][] = [];
  /** Runs before every search of the bridge is answered. */
  beforeBridgeSearch: () => Promise<void> = async () => {};
  readonly groups: ProjectGroup[] = [];
  readonly dependencies: ProjectDependency[] = [];
  /** How often embedding was asked. */
  embedCalls = 0;
  /** Whether the bridge queues what it is given. */
  bridgeQueues = false;
  readonly transports: PeerTransports;

  constructor() {
    const guarded = <T>(
      peer: keyof PeerTransports,
      answer: (request: T) => object | Promise<object>,
    ) => {
      return async (request: T, { signal }: { signal: AbortSignal }) => {
        if (peer === "embedding") this.embedCalls++;
        await this.#behave(peer, signal);
        return answer(request);
      };
    };
    this.transports = {
      embedding: createRouterTransport((router) => {
        router.service(EmbeddingService, {
          embed: guarded("embedding", ({ model, texts }) => this.#embed(model, texts)),
        });
      }),
      vectorStore: createRouterTransport((router) => {
        this.vectorStore.register(router, (signal) => this.#behave("vectorStore", signal));
        router.service(Health, {
          check: () => ({
            status:
              this.moods.vectorStore === "up" ? ServingStatus.SERVING : ServingStatus.NOT_SERVING,
          }),
        });
      }),
      sessionBuddy: createRouterTransport((router) => {
        router.service(SessionBuddyService, {
          searchReflections: guarded("sessionBuddy", (request) => this.#searchBridge(request)),
          storeInsight: guarded("sessionBuddy", (request) => {
            this.delivered.set(request.requestId, request);
            const delivery = this.bridgeQueues ? Delivery.QUEUED : Delivery.WRITTEN;
            return { id: `sb-${request.requestId}`, delivery };
          }),
          createProjectGroup: guarded("sessionBuddy", ({ group }: CreateProjectGroupRequest) => {
            if (group?.name === "") throw badField("group.name");
            if (group !== undefined) this.groups.push(group);
            return { ...(group && { group }) };
          }),
          listProjectGroups: guarded("sessionBuddy", ({ project }: ListProjectGroupsRequest) => ({
            groups: this.groups.filter((one) => project === "" || one.projects.includes(project)),
          })),
          addProjectDependency: guarded(
            "sessionBuddy",
            ({ dependency }: AddProjectDependencyRequest) => {
              if (dependency !== undefined) this.dependencies.push(dependency);
              return { ...(dependency && { dependency }) };
            },
          ),
          listProjectDependencies: guarded(
            "sessionBuddy",
            ({ project }: ListProjectDependenciesRequest) => ({
              dependencies: this.dependencies.filter(
                (one) => one.sourceProject === project || one.targetProject === project,
              ),
            }),
          ),
        });
      }),
    };
  }

  async #behave(peer: keyof PeerTransports, signal: AbortSignal): Promise<void> {
    switch (this.moods[peer]) {
      case "up":
        return;
      case "down":
        throw new ConnectError("connection refused", Code.Unavailable);
      case "silent":
        await sleep(60_000, signal).catch(() => {});
        throw new ConnectError("gave up", Code.Canceled);
      case "broken":
        throw new ConnectError("select * from secrets failed", Code.Internal);
    }
  }

  #embed(model: string, texts: readonly string[]) {
    if (model !== "" && model !== this.model) {
      throw toConnectError(new DomainError("not_found", "MODEL_NOT_FOUND", `no model ${model}`));
    }
    this.embedded.push(...texts);
    return {
      model: this.model,
      dimension: 4,
      embeddings: texts.map((text) =>
        this.refusedTexts.has(text)
          ? { result: { case: "error" as const, value: { code: Code.Internal, message: "no" } } }
          : { result: { case: "vector" as const, value: { values: [1, 2, 3, text.length] } } },
      ),
    };
  }

  async #searchBridge(request: FakePeers["bridgeSearches"][number]) {
    this.bridgeSearches.push(request);
    await this.beforeBridgeSearch();
    return {
      hits: [...this.delivered.values()].map((insight, index) => ({
        record: {
          id: `sb-${index}`,
          kind: RecordKind.INSIGHT,
          content: insight.content,
          project: insight.project,
          insightType: insight.insightType,
          tags: insight.topics,
          era: "F",
        },
        score: 0.75,
        textScore: 0.75,
      })),
    };
  }
}

function badField(field: string): ConnectError {
  return toConnectError(new InvalidRequestError([{ field, description: "is wrong" }]));
}
