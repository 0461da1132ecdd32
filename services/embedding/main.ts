import { runProcess } from "../../shared/process.ts";
import { createApp } from "./app.ts";
import { readEmbeddingConfig } from "./config.ts";

await runProcess("embedding", readEmbeddingConfig, createApp);
