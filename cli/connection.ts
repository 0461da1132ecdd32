import type { DescService } from "@bufbuild/protobuf";
import { type CallOptions, type Client, Code, ConnectError } from "@connectrpc/connect";
import { configSources, kinds, readSettings, setting } from "../shared/config.ts";
import { BadRequestSchema } from "../shared/gen/google/rpc/error_details_pb.js";
import { createClient, createGrpcTransport } from "../shared/rpc/client.ts";
import { tenantHeader } from "../shared/rpc/tenant.ts";

export const cliSettings = {
  memory: setting(
    "MAHAVISHNU_MEMORY_ADDRESS",
    kinds.address().optional(),
    "Where the memory service is called; by its port on loopback when not set",
  ),
  memoryPort: setting("MAHAVISHNU_MEMORY_PORT", kinds.port().default(50051), "Port of memory"),
  ingestion: setting(
    "MAHAVISHNU_INGESTION_ADDRESS",
    kinds.address().optional(),
    "Where the ingestion service is called; by its port on loopback when not set",
  ),
  ingestionPort: setting(
    "MAHAVISHNU_INGESTION_PORT",
    kinds.port().default(50052),
    "Port of ingestion",
  ),
  health: setting(
    "MAHAVISHNU_HEALTH_ADDRESS",
    kinds.address().optional(),
    "Where the health service is called; by its port on loopback when not set",
  ),
  healthPort: setting("MAHAVISHNU_HEALTH_PORT", kinds.port().default(50056), "Port of health"),
  authToken: setting("MAHAVISHNU_AUTH_TOKEN", kinds.text().optional(), "Bearer token"),
};

export type Peer = "memory" | "ingestion" | "health";

/** A call could not be made or was refused; the message is for people. */
export class CallFailure extends Error {
  override readonly name = "CallFailure";
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

/** Makes one client, lets it be used, closes the connection, and words failures for people. */
export async function withClient<S extends DescService, T>(
  peer: Peer,
  service: S,
  use: (client: Client<S>, options: (more?: CallOptions) => CallOptions) => Promise<T>,
  tenant?: string,
): Promise<T> {
  const { address, authToken } = targetOf(peer);
  const transport = createGrpcTransport({
    address,
    ...(authToken === undefined ? {} : { authToken }),
  });
  const headers = tenant === undefined ? {} : { headers: { [tenantHeader]: tenant } };
  try {
    return await use(createClient(service, transport), (more = {}) => ({ ...headers, ...more }));
  } catch (error) {
    throw error instanceof ConnectError ? failure(error, peer, address) : error;
  } finally {
    transport.close();
  }
}

/** Where a service is called. */
export function targetOf(peer: Peer): { address: string; authToken: string | undefined } {
  const config = readSettings(cliSettings, configSources());
  return {
    address: config[peer] ?? `127.0.0.1:${config[`${peer}Port`]}`,
    authToken: config.authToken,
  };
}

function failure(error: ConnectError, peer: Peer, address: string): CallFailure {
  const code = codeName(error.code);
  if (code === "unavailable" && isRefused(error.rawMessage)) {
    return new CallFailure(
      code,
      `nothing answers at ${address} (${peer}); is it running? Start it with: npm start`,
    );
  }
  const fields = error
    .findDetails(BadRequestSchema)
    .flatMap((detail) => detail.fieldViolations.map((one) => `  ${one.field}: ${one.description}`));
  return new CallFailure(
    code,
    fields.length > 0 ? [`${code}:`, ...fields].join("\n") : `${code}: ${error.rawMessage}`,
  );
}

/** Whether nothing listens there, as grpc-js says it. */
export function isRefused(message: string): boolean {
  return /ECONNREFUSED|No connection/.test(message);
}

/** `InvalidArgument` as the specification writes it: `invalid_argument`. */
function codeName(code: Code): string {
  return Code[code].replaceAll(/(?<!^)([A-Z])/g, "_$1").toLowerCase();
}
