import { parentPort } from "node:worker_threads";
import { startEmbeddedPostgres } from "../../deploy/local/embedded-postgres.ts";
import { pgliteTemplate } from "./postgres-template.ts";

// A thread of its own: a statement that takes long must not hold up the test that watches it.
if (parentPort === null) throw new Error("this file is run as a worker");
const port = parentPort;
const server = await startEmbeddedPostgres({ port: 0, files: await pgliteTemplate() });
port.postMessage({ url: server.url });
port.once("message", async () => {
  await server[Symbol.asyncDispose]();
  port.postMessage({ stopped: true });
});
