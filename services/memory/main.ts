import { runProcess } from "../../shared/process.ts";
import { createApp } from "./app.ts";
import { readConfig } from "./config.ts";

await runProcess("memory", readConfig, createApp);
