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
  #endpoint: string | undefined

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

  /** Where it was asked last. */
  get endpoint(): string | undefined {
    return this.#endpoint
  }

  override async handle(
    ...[request, options]: Parameters<NodeHttpHandler['handle']>
  ): ReturnType<NodeHttpHandler['handle']> {
    this.#endpoint = endpointOf(request)
    if (request.body === undefined) return await super.handle(request, options)
    return await this.#sending.handle(request, options)
  }
}

/** Of a host that has a bucket's name before it, the rest: all buckets have it. */
function endpointOf({
  protocol,
  hostname,
  port,
}: Pick<Parameters<NodeHttpHandler['handle']>[0], 'protocol' | 'hostname' | 'port'>): string {
  const host = hostname.replace(/^.+\.(?=s3[.-].*\.amazonaws\.com)/, '')
  return `${protocol}//${host}${port === undefined ? '' : `:${port}`}`
}
