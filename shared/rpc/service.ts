import type { DescMethod, DescService } from "@bufbuild/protobuf";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import { DomainError } from "../errors.ts";

export type { HandlerContext, Interceptor, ServiceImpl } from "@connectrpc/connect";

/** A method's implementation, whatever its kind: a request or requests in, a result or results out. */
export type MethodHandler = (request: unknown, context: HandlerContext) => unknown;

/** A service to host: what it is called and who answers. */
export interface ServiceRegistration {
  readonly desc: DescService;
  readonly handlerOf: (method: DescMethod) => MethodHandler;
}

/** Methods without an implementation answer UNIMPLEMENTED with reason NOT_IMPLEMENTED. */
export function service<S extends DescService>(
  desc: S,
  impl: Partial<ServiceImpl<S>>,
): ServiceRegistration {
  const handlers = impl as Readonly<Record<string, MethodHandler | undefined>>;
  return {
    desc,
    handlerOf: (method) => handlers[method.localName]?.bind(impl) ?? notImplemented(desc, method),
  };
}

function notImplemented(desc: DescService, method: DescMethod): MethodHandler {
  return () => {
    throw new DomainError(
      "unimplemented",
      "NOT_IMPLEMENTED",
      `${desc.typeName}/${method.name} is not served yet`,
    );
  };
}
