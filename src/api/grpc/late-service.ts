import type { DescMethod, DescService } from '@bufbuild/protobuf'
import { assert } from '../../base/errors.ts'
import { onDemand } from '../../base/on-demand.ts'
import { type CallContext, type Route, styleOf } from './service.ts'

type Respond = Route['respond']
type AnyCall = (request: never, context: CallContext) => unknown

/**
 * The routes of a service that is loaded by the first call to it, with all that only it needs. `load`
 * returns its routes.
 */
export function lateService(
  description: DescService,
  load: () => Promise<readonly Route[]>,
): readonly Route[] {
  const routes = onDemand(load)
  return description.methods.map((method) => {
    const path = `/${description.typeName}/${method.name}`
    const call = async (): Promise<AnyCall> => {
      const route = (await routes()).find((one) => one.path === path)
      assert(route !== undefined, 'a service has a route for each method')
      return route.respond.call.bind(route.respond) as AnyCall
    }
    return { path, style: styleOf(description), respond: respondLate(method, call) }
  })
}

/** As the route does that `call` brings, whose kind is that of the method. */
function respondLate({ methodKind }: DescMethod, call: () => Promise<AnyCall>): Respond {
  const one = async (request: unknown, context: CallContext): Promise<never> =>
    (await (
      await call()
    )(request as never, context)) as never
  const many = async function* (request: unknown, context: CallContext): AsyncGenerator<never> {
    yield* (await call())(request as never, context) as AsyncIterable<never>
  }
  switch (methodKind) {
    case 'unary':
      return { requests: 'one', responses: 'one', call: one }
    case 'server_streaming':
      return { requests: 'one', responses: 'many', call: many }
    case 'client_streaming':
      return { requests: 'many', responses: 'one', call: one }
    case 'bidi_streaming':
      return { requests: 'many', responses: 'many', call: many }
  }
}
