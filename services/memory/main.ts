import { runProcess } from "../../shared/process.ts";
import { createApp } from "./app.ts";
import { readMemoryConfig } from "./config.ts";

await runProcess("memory", readMemoryConfig, createApp);
