/** One side of `embedding-service.ts` in a process of its own: the fake Ollama, or the service. */
import { createApp } from "../../services/embedding/app.ts";
import { readEmbeddingConfig } from "../../services/embedding/config.ts";
import { silentLogger } from "../../shared/logging.ts";
import { FakeOllama } from "../harness/fake-ollama.ts";

const [kind, argument = "{}"] = process.argv.slice(2);
let address: string;
if (kind === "ollama") {
  address = (await FakeOllama.start({ cost: JSON.parse(argument), readyVectors: true })).url;
} else {
  const env = { MAHAVISHNU_EMBEDDING_PORT: "0", ...JSON.parse(argument) };
  const config = readEmbeddingConfig({ env, file: {} });
  address = (await createApp(config, { logger: silentLogger() })).address;
}
process.send?.({ address });
process.once("disconnect", () => process.exit(0));
