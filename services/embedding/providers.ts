import type { Logger } from "../../shared/logging.ts";
import { BatchingEmbedder } from "./batching-embedder.ts";
import type { EmbeddingConfig } from "./config.ts";
import type { EmbeddingModel } from "./embedder.ts";
import type { EmbeddingEndpoint } from "./embedding-endpoint.ts";
import { MeteredEmbedder } from "./metered-embedder.ts";
import { ModelPuller } from "./model-puller.ts";
import { canonicalModelName, ModelTable } from "./model-table.ts";
import { OllamaClient } from "./ollama-client.ts";
import { OllamaObserver } from "./ollama-observer.ts";
import { OpenAiClient } from "./openai-client.ts";
import { OpenAiObserver } from "./openai-observer.ts";
import { providerCircuit } from "./provider-circuit.ts";
import { RemoteEmbedder } from "./remote-embedder.ts";
import type { RemoteProvider } from "./remote-models.ts";
import { Slots } from "./slots.ts";
import type { VectorCache } from "./vector-cache.ts";

export interface ProviderParts {
  readonly config: EmbeddingConfig;
  readonly logger: Logger;
  readonly cache: VectorCache;
  /** Told when a provider wants a look: its call has failed as a whole, or it has a new model. */
  readonly onNews: (provider: EmbeddingModel["provider"]) => void;
}

/** A small question to a provider, such as which models it has. */
const lookTimeoutMs = 3_000;
/** How long a pull may say nothing; checking the digest of a large model takes a while. */
const pullSilenceMs = 120_000;

const otherVectors =
  "the model has other contents than before; vectors of the two must not meet in one collection";

/** The providers that the configuration asks for, in order of preference. */
export function createProviders(parts: ProviderParts): RemoteProvider<BatchingEmbedder>[] {
  const { provider } = parts.config;
  const table = new ModelTable(parts.config.models);
  const openAi = provider === "auto" || provider === "openai" ? openAiOf(parts, table) : [];
  return provider === "auto" || provider === "ollama"
    ? [...openAi, ollamaOf(parts, table)]
    : openAi;
}

function ollamaOf(parts: ProviderParts, table: ModelTable): RemoteProvider<BatchingEmbedder> {
  const { config, logger, onNews } = parts;
  const client = new OllamaClient(config.ollamaBaseUrl, {
    keepAlive: config.ollamaKeepAlive,
    headers: config.ollamaHeaders,
  });
  const observer = new OllamaObserver(client, lookTimeoutMs);
  const preferred = canonicalModelName(config.ollamaModel);
  const puller = new ModelPuller({
    pull: (model, signal) => client.pull(model, pullSilenceMs, signal),
    onProgress: (model, progress) => logger.info({ model, progress }, "Ollama fetches the model"),
    onEnd: (model, err) => {
      if (err === undefined) {
        logger.info({ model }, "Ollama has fetched the model");
        onNews("ollama");
      } else logger.warn({ model, err }, "Ollama could not fetch the model");
    },
  });
  return {
    endpoint: client,
    preferred,
    observe: (signal) => observer.observe(signal),
    mayHave: (name) => table.knows(name),
    createEmbedder: embedderMaker(client, preferred, table, parts),
    onOtherContents: (model) => logger.warn({ provider: "ollama", model }, otherVectors),
    ...(config.pull ? { puller } : {}),
  };
}

function openAiOf(parts: ProviderParts, table: ModelTable): RemoteProvider<BatchingEmbedder>[] {
  const { openAiUrl, openAiKey, openAiModel } = parts.config;
  if (openAiUrl === undefined || openAiModel === undefined) return [];
  const client = new OpenAiClient(openAiUrl, { key: openAiKey });
  const preferred = canonicalModelName(openAiModel);
  const observer = new OpenAiObserver({ client, modelName: preferred, timeoutMs: lookTimeoutMs });
  return [
    {
      endpoint: client,
      preferred,
      observe: (signal) => observer.observe(signal),
      mayHave: () => false,
      createEmbedder: embedderMaker(client, preferred, table, parts),
    },
  ];
}

/** All models of one provider share its machine, so they share its slots and its breaker. */
function embedderMaker(
  endpoint: EmbeddingEndpoint,
  preferred: string,
  table: ModelTable,
  { config, logger, cache, onNews }: ProviderParts,
): RemoteProvider<BatchingEmbedder>["createEmbedder"] {
  const { batchSize, batchCharacters, concurrency, dimensions, orderCheck, requestTimeoutMs } =
    config;
  const { provider } = endpoint;
  const slots = new Slots(concurrency);
  // The text that checks the order has a place of its own, since servers refuse one text too many.
  const texts = orderCheck > 0 ? Math.max(1, batchSize - 1) : batchSize;
  const breaker = providerCircuit(provider, {
    onStateChange: (circuit) => logger.warn({ provider, circuit }, "the circuit has changed"),
  });
  return (modelName, facts) => {
    const scope = cache.scope(modelName);
    const remote = new RemoteEmbedder({
      endpoint,
      modelName,
      ...facts,
      wantedDimension: modelName === preferred ? dimensions : 0,
      table,
      slots,
      breaker,
      batchShape: { texts, characters: batchCharacters, concurrency },
      requestTimeoutMs,
      orderCheckEvery: orderCheck,
      onOtherVectors: () => {
        scope.forget();
        logger.warn({ provider, model: modelName }, otherVectors);
      },
      onMixedUp: () =>
        logger.error(
          { provider, model: modelName },
          "texts of a batch were mixed up; now one each",
        ),
    });
    const direct = new MeteredEmbedder(remote, () => onNews(provider));
    return { direct, embedder: new BatchingEmbedder(direct, { cache: scope }) };
  };
}
