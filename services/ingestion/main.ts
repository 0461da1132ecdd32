import { runProcess } from "../../shared/process.ts";
import { createApp } from "./app.ts";
import { readIngestionConfig } from "./config.ts";

await runProcess("ingestion", readIngestionConfig, createApp);
