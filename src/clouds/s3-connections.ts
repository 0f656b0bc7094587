import { Agent as PlainAgent } from 'node:http'
import { Agent as TlsAgent } from 'node:https'
import { NodeHttpHandler } from '@smithy/node-http-handler'
import { silentMs, silentMsOfSent } from '../base/retries.ts'

const connectMs = 10_000
const socketCountMax = 128
/** In milliseconds. */
const usualSilence = { asked: silentMs, sent: silentMsOfSent } as const

/** Connections to S3, which may be silent for longer after they were sent something than after a question. */
export class S3Connections extends NodeHttpHandler {
  readonly #sending: NodeHttpHandler

  constructor(silence: { readonly asked: number; readonly sent: number } = usualSilence) {
    const options = { keepAlive: true, maxSockets: socketCountMax }
    const shared = {
      connectionTimeout: connectMs,
      httpAgent: new PlainAgent(options),
      httpsAgent: new TlsAgent(options),
    }
    super({ ...shared, socketTimeout: silence.asked })
    this.#sending = new NodeHttpHandler({ ...shared, socketTimeout: silence.sent })
  }

  override async handle(
    ...[request, options]: Parameters<NodeHttpHandler['handle']>
  ): ReturnType<NodeHttpHandler['handle']> {
    if (request.body === undefined) return await super.handle(request, options)
    return await this.#sending.handle(request, options)
  }
}
