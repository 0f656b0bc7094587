import type { IncomingMessage, ServerResponse } from 'node:http'
import { newHexId } from '../base/random.ts'
import type { Versioning } from '../versioning/versioning.ts'
import { CallerBudget } from './grpc/caller-budget.ts'
import type { GrpcServerPorts } from './grpc/call-runner.ts'
import { Exchange } from './http/exchange.ts'
import { AnswerLines } from './http/answer-lines.ts'
import { S3Call } from './s3/call.ts'
import { s3ErrorOf } from './s3/errors.ts'
import { RequestBody } from './s3/request-body.ts'
import { route } from './s3/routes.ts'
import { checkSignature, type S3Keys } from './s3/signatures.ts'
import { parseS3Target } from './s3/target.ts'

export type { S3Keys } from './s3/signatures.ts'

/** What all answers, and what all bodies, may hold in memory at once. */
const answersBytesMax = 256 * 1024 * 1024
const bodiesBytesMax = 256 * 1024 * 1024
const referenceDigits = 8
const resourceLengthMax = 1024

export interface S3GatewayOptions {
  /** Who may call; undefined: anybody. */
  readonly keys?: S3Keys | undefined
  /** Buckets are also found in host names below this one. */
  readonly domain?: string | undefined
}

/** The S3 door: branches as buckets, and files as objects in them. */
export class S3Gateway {
  readonly #versioning: Versioning
  readonly #ports: GrpcServerPorts
  readonly #options: S3GatewayOptions
  readonly #answers: CallerBudget
  readonly #bodies: CallerBudget
  readonly #lines = new AnswerLines()

  constructor(versioning: Versioning, ports: GrpcServerPorts, options: S3GatewayOptions) {
    this.#versioning = versioning
    this.#ports = ports
    this.#options = options
    this.#answers = new CallerBudget({ bytesMax: answersBytesMax }, ports.clock, 'download')
    this.#bodies = new CallerBudget({ bytesMax: bodiesBytesMax }, ports.clock, 'upload')
  }

  answer(request: IncomingMessage, response: ServerResponse): void {
    const { clock } = this.#ports
    const exchange = new Exchange(request, response, { clock, budget: this.#answers })
    void this.#lines.take(exchange, (next) => this.#answer(next))
  }

  /** Never rejects: whatever goes wrong becomes the answer. */
  async #answer(exchange: Exchange): Promise<void> {
    if (exchange.signal.aborted) return
    const requestId = newHexId(this.#ports.random)
    let body: RequestBody | undefined
    try {
      const { url = '/', headers } = exchange.request
      const { clock } = this.#ports
      const target = parseS3Target(url, headers.host, this.#options.domain)
      const { keys } = this.#options
      // What is not read for a failure is taken, so that the failure is heard.
      body = new RequestBody(exchange, undefined, { clock, budget: this.#bodies })
      body.signed = checkSignature(exchange.request, target, { keys, now: clock.now() })
      const versioning = this.#versioning
      await route(new S3Call({ versioning, exchange, target, body, requestId }))
    } catch (error) {
      await this.#fail(exchange, error, { requestId, body })
    }
  }

  async #fail(
    exchange: Exchange,
    error: unknown,
    { requestId, body }: { readonly requestId: string; readonly body: RequestBody | undefined },
  ): Promise<void> {
    const { request, signal, hasBegun } = exchange
    if (signal.aborted) return // nobody is there to be told
    const failure = s3ErrorOf(error, (cause) => this.#report(request, cause))
    if (hasBegun) {
      exchange.abandon()
      return
    }
    const isRead = (await body?.discard()) ?? request.complete
    if (signal.aborted) return
    const resource = (request.url ?? '').split('?')[0]?.slice(0, resourceLengthMax) ?? ''
    exchange.answer(
      failure.status,
      {
        'content-type': 'application/xml',
        'x-amz-request-id': requestId,
        ...failure.headers,
        ...(!isRead && { connection: 'close' }),
      },
      failure.xml({ resource, requestId }),
    )
  }

  #report(request: IncomingMessage, cause: unknown): string {
    const reference = newHexId(this.#ports.random).slice(0, referenceDigits)
    // A presigned URL is as good as a key: its query is not written down.
    const path = (request.url ?? '').split('?')[0] ?? ''
    this.#ports.log.failure(reference, `S3 ${request.method} ${path}`, cause)
    return reference
  }
}
