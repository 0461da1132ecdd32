import { callContext } from "../../../shared/rpc/call-context.ts";
import { callInfoKey } from "../../../shared/rpc/call-info.ts";
import type { HandlerContext } from "../../../shared/rpc/service.ts";
import type { Call } from "../deadline.ts";

/** On whose behalf and for how long a handler's domain works. */
export function callOf(context: HandlerContext): Call {
  const { tenant, signal, deadline, requestId } = callContext(context);
  // The server bounds calls whose caller set no deadline; how long such a caller is willing to
  // wait the domain decides.
  const info = context.values.get(callInfoKey);
  const own = info === undefined ? deadline?.getTime() : info.deadline;
  return { tenant, signal, requestId, deadline: own };
}
