import type { IncomingHttpHeaders } from 'node:http'
import { promisify } from 'node:util'
import { gunzip } from 'node:zlib'
import { type Clock, waitAtMost } from '../../base/clock.ts'
import {
  MalformedMessageError,
  OversizedMessageError,
  type Decompress,
  type ReadOptions,
} from '../../base/grpc-messages.ts'
import { Code, parseTimeoutMs } from '../../base/grpc-wire.ts'
import { newHexId, type Random } from '../../base/random.ts'
import { Turns } from '../../base/turns.ts'
import { Admission, type AdmissionBounds } from './admission.ts'
import { Backlog } from './backlog.ts'
import { Call } from './call.ts'
import type { CallWire } from './call-wire.ts'
import { statusOf, StatusError } from './errors.ts'
import type { Route } from './service.ts'

/** Where the server writes down what callers are not told. */
export interface FailureLog {
  /** `reference` is what the caller was told, so that the two can be put together. */
  failure(reference: string, path: string, error: unknown): void
}

export interface GrpcServerPorts {
  readonly clock: Clock
  readonly random: Random
  readonly log: FailureLog
  /** What callers can make the server hold, when it is not what is usual. */
  readonly admission?: AdmissionBounds
  /** The same of what they have sent and nobody has read yet. */
  readonly backlogBytesMax?: number
}

/** How a call arrived. */
export interface CallRequest {
  readonly path: string
  readonly headers: IncomingHttpHeaders
  /** Address and port of the caller. */
  readonly peer: string
  /** The same for all calls of one connection. */
  readonly connection: object
}

const referenceDigits = 8
/** Calls at once: each costs some 10 KiB, and most of them wait for something to happen. */
const callCountMax = 20_000
const tooManyCalls = `the server is busy with ${callCountMax} calls, which is all it takes; try again later`
const shuttingDown = { code: Code.unavailable, message: 'the server is shutting down' } as const

/** Takes calls to the handlers of their methods, whatever carries them. */
export class CallRunner {
  readonly #routes: ReadonlyMap<string, Route>
  readonly #ports: GrpcServerPorts
  readonly #admission: Admission
  readonly #backlog: Backlog
  /** Of all calls together. */
  readonly #turns: Turns
  readonly #calls = new Set<Call>()
  readonly #uploads = new Set<Call>()
  #closing = false
  #idle: PromiseWithResolvers<void> | undefined

  constructor(routes: readonly Route[], ports: GrpcServerPorts) {
    this.#routes = new Map(routes.map((route) => [route.path, route]))
    this.#ports = ports
    this.#admission = new Admission(ports.clock, ports.admission)
    this.#backlog = new Backlog(ports.backlogBytesMax)
    // A turn, not a time: no clock could say it.
    // oxlint-disable-next-line no-restricted-globals
    this.#turns = new Turns(ports.clock, setImmediate)
  }

  /** Streams of requests that run. */
  get uploadCount(): number {
    return this.#uploads.size
  }

  /** Whether the method takes a stream of requests. */
  takesMany(path: string): boolean {
    return this.#routes.get(path)?.respond.requests === 'many'
  }

  /**
   * Runs a call to its end. Never rejects: whatever goes wrong becomes the call's status.
   *
   * `onCall` is told of it before any request is read.
   */
  async run(
    wire: CallWire,
    { path, headers, peer, connection }: CallRequest,
    onCall?: (call: Call) => void,
  ): Promise<void> {
    const [turns, backlog] = [this.#turns, this.#backlog]
    const call = new Call(wire, headers, { peer, connection, turns, backlog })
    const route = this.#routes.get(path)
    this.#calls.add(call)
    try {
      if (this.#closing) throw new StatusError(shuttingDown.code, shuttingDown.message)
      if (this.#calls.size > callCountMax) {
        throw new StatusError(Code.resourceExhausted, tooManyCalls)
      }
      if (route === undefined) throw new StatusError(Code.unimplemented, unknownMethod(path))
      this.#keepDeadline(call, headers)
      if (route.respond.requests === 'many') this.#uploads.add(call)
      onCall?.(call)
      const gate = this.#admission.gate(call, route.respond.requests)
      await respond(call, route, {
        decompress: decompressFor(headers),
        onMessage: gate.open,
        ...(route.respond.requests === 'many' && { onDone: gate.done }),
        onWhole: () => this.#admission.isWhole(call),
      })
      call.finish({ code: Code.ok, message: '' })
    } catch (error) {
      this.#fail(call, route, path, error)
    } finally {
      this.#calls.delete(call)
      this.#uploads.delete(call)
      this.#admission.release(call)
      if (this.#calls.size === 0) this.#idle?.resolve()
    }
  }

  /** Refuses new calls, gives running ones at most `graceMs`, and ends the others. */
  async close(graceMs: number): Promise<void> {
    this.#closing = true
    if (this.#calls.size > 0 && graceMs > 0) {
      this.#idle = Promise.withResolvers<void>()
      await waitAtMost(this.#ports.clock, graceMs, this.#idle.promise)
    }
    for (const call of this.#calls) call.abandon(shuttingDown)
  }

  #keepDeadline(call: Call, headers: IncomingHttpHeaders): void {
    const timeout = headers['grpc-timeout']
    if (typeof timeout !== 'string') return
    const ms = parseTimeoutMs(timeout)
    if (ms === undefined) throw new StatusError(Code.internal, `malformed grpc-timeout: ${timeout}`)
    call.keepDeadline(ms, this.#ports.clock)
  }

  #fail(call: Call, route: Route | undefined, path: string, error: unknown): void {
    if (call.ended) return // its handler was told so, or the caller is gone: nobody to answer
    const status = statusOf(error, route?.style ?? 'rich', (cause) => {
      const reference = newHexId(this.#ports.random).slice(0, referenceDigits)
      this.#ports.log.failure(reference, path, cause)
      return reference
    })
    call.finish(status)
  }
}

function unknownMethod(path: string): string {
  return `unknown method ${path}: this server does not know it; an older or newer pachd may`
}

async function respond(
  call: Call,
  { respond: how }: Route,
  { onWhole, ...options }: ReadOptions & { readonly onWhole: () => void },
): Promise<void> {
  if (how.requests === 'one') {
    const request = await call.request(options)
    onWhole()
    if (how.responses === 'one') await call.send(await how.call(request, call))
    else for await (const response of how.call(request, call)) await call.send(response)
    return
  }
  const requests = call.requests(options)
  if (how.responses === 'one') await call.send(await how.call(requests, call))
  else for await (const response of how.call(requests, call)) await call.send(response)
}

function decompressFor(headers: IncomingHttpHeaders): Decompress | undefined {
  const encoding = headers['grpc-encoding']
  if (encoding === undefined || encoding === 'identity') return undefined
  if (encoding === 'gzip') return decompressGzip
  throw new StatusError(
    Code.unimplemented,
    `grpc-encoding ${String(encoding)} is not supported; use identity or gzip`,
  )
}

const gunzipBytes = promisify(gunzip)

async function decompressGzip(compressed: Uint8Array, sizeMax: number): Promise<Uint8Array> {
  try {
    return await gunzipBytes(compressed, { maxOutputLength: sizeMax })
  } catch (error) {
    if (error instanceof RangeError) {
      throw new OversizedMessageError(
        `received message larger than max (${sizeMax}) when decompressed`,
      )
    }
    throw new MalformedMessageError('the message is not gzip data', { cause: error })
  }
}
