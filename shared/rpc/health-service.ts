import type { ServiceImpl } from "@connectrpc/connect";
import { Code, ConnectError } from "@connectrpc/connect";
import {
  Health,
  HealthCheckResponse_ServingStatus as ServingStatus,
} from "../gen/health/v1/health_pb.js";
import { callContext } from "./call-context.ts";
import type { HealthRegistry } from "./health.ts";
import { type ServiceRegistration, service } from "./service.ts";

/**
 * `grpc.health.v1.Health` over the registry. Written here although there is the package
 * grpc-health-check, whose proto we use: its implementation keeps its own map of statuses, so ""
 * would not follow the named services, and its calls would pass by our interceptors and shutdown.
 */
export function healthService(health: HealthRegistry): ServiceRegistration {
  const impl: ServiceImpl<typeof Health> = {
    check({ service: name }) {
      const serving = health.statusOf(name);
      if (serving === undefined) {
        throw new ConnectError(`no service named "${name}" here`, Code.NotFound);
      }
      return { status: statusOf(serving) };
    },

    async *watch({ service: name }, context) {
      const { signal, stopping } = callContext(context);
      let last: ServingStatus | undefined;
      while (true) {
        const changed = nextChange(health, name, signal, stopping);
        const status = watchedStatus(health.statusOf(name));
        if (status !== last) {
          last = status;
          yield { status };
        }
        // The registry was closed before, so the last word, NOT_SERVING, has been sent.
        if (stopping.aborted) throw new ConnectError("shutting down", Code.Unavailable);
        await changed;
        if (signal.aborted) return;
      }
    },

    list() {
      const statuses = ["", ...health.names()].map((name) => [
        name,
        { status: watchedStatus(health.statusOf(name)) },
      ]);
      return { statuses: Object.fromEntries(statuses) };
    },
  };
  return service(Health, impl);
}

function statusOf(serving: boolean): ServingStatus {
  return serving ? ServingStatus.SERVING : ServingStatus.NOT_SERVING;
}

function watchedStatus(serving: boolean | undefined): ServingStatus {
  return serving === undefined ? ServingStatus.SERVICE_UNKNOWN : statusOf(serving);
}

/** Resolves at the next change of a status, or when the watching ends. */
function nextChange(
  health: HealthRegistry,
  name: string,
  ...ends: readonly AbortSignal[]
): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      stopListening();
      for (const end of ends) end.removeEventListener("abort", done);
      resolve();
    };
    const stopListening = health.onChange((changed) => {
      if (changed === name) done();
    });
    for (const end of ends) {
      if (end.aborted) return done();
      end.addEventListener("abort", done, { once: true });
    }
  });
}
