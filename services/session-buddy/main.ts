import { runProcess } from "../../shared/process.ts";
import { createApp } from "./app.ts";
import { readSessionBuddyConfig } from "./config.ts";

await runProcess("session-buddy", readSessionBuddyConfig, createApp);
