import type { DescService } from "@bufbuild/protobuf";
import {
  type CallOptions,
  type Client,
  Code,
  ConnectError,
  createClient,
} from "@connectrpc/connect";
import { configSources, kinds, readSettings, setting } from "../shared/config.ts";
import { BadRequestSchema } from "../shared/gen/google/rpc/error_details_pb.js";
import { createGrpcTransport } from "../shared/rpc/client.ts";
import { tenantHeader } from "../shared/rpc/tenant.ts";

const settings = {
  memory: setting(
    "MAHAVISHNU_MEMORY_ADDRESS",
    kinds.address().default("127.0.0.1:50051"),
    "Where the memory service listens",
  ),
  ingestion: setting(
    "MAHAVISHNU_INGESTION_ADDRESS",
    kinds.address().default("127.0.0.1:50052"),
    "Where the ingestion service listens",
  ),
  health: setting(
    "MAHAVISHNU_HEALTH_ADDRESS",
    kinds.address().default("127.0.0.1:50056"),
    "Where the health service listens",
  ),
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
  const config = readSettings(settings, configSources());
  const address = config[peer];
  const transport = createGrpcTransport({
    address,
    ...(config.authToken === undefined ? {} : { authToken: config.authToken }),
  });
  const headers = tenant === undefined ? {} : { headers: { [tenantHeader]: tenant } };
  try {
    return await use(createClient(service, transport), (more = {}) => ({ ...headers, ...more }));
  } catch (error) {
    throw failure(ConnectError.from(error), peer, address);
  } finally {
    transport.close();
  }
}

function failure(error: ConnectError, peer: Peer, address: string): CallFailure {
  const code = codeName(error.code);
  if (code === "unavailable" && /ECONNREFUSED|No connection/.test(error.rawMessage)) {
    return new CallFailure(
      code,
      `nothing answers at ${address} (${peer}); is it running? Start it with: npm start`,
    );
  }
  const fields = error
    .findDetails(BadRequestSchema)
    .flatMap((detail) => detail.fieldViolations.map((one) => `  ${one.field}: ${one.description}`));
  return new CallFailure(code, [`${code}: ${error.rawMessage}`, ...fields].join("\n"));
}

/** `InvalidArgument` as the specification writes it: `invalid_argument`. */
function codeName(code: Code): string {
  return Code[code].replaceAll(/(?<!^)([A-Z])/g, "_$1").toLowerCase();
}
