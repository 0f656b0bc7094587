import {
  Agent as PlainAgent,
  type ClientRequest,
  type IncomingMessage,
  request as plainRequest,
} from 'node:http'
import { Agent as TlsAgent, request as tlsRequest } from 'node:https'
import type { Socket } from 'node:net'
import type { Clock } from '../../base/clock.ts'
import {
  CancelledError,
  DomainError,
  FailedPreconditionError,
  NotFoundError,
  UnavailableError,
} from '../../base/errors.ts'
import { shownSource } from '../../base/source-urls.ts'
import { distrustOf } from '../../clouds/unanswered.ts'
import type { ReachGuard } from '../reach.ts'
import { SourceAbsentError, SourceBrokeError } from '../source.ts'

export type HttpHeaders = Readonly<Record<string, string>>

export interface HttpAnswer {
  readonly status: number
  readonly headers: IncomingMessage['headers']
  readonly body: IncomingMessage
  /** Where it came from in the end. */
  readonly url: URL
}

const redirectsMax = 10
const redirectStatuses: ReadonlySet<number> = new Set([301, 302, 303, 307, 308])
/** A server that is there takes no longer to let a connection be made. */
const connectMsMax = 20_000
const socketsMax = 64
const headerBytesMax = 64 * 1024

export interface HttpClientPorts {
  readonly clock: Clock
  readonly guard: ReachGuard
  readonly userAgent: string
}

/** Gets what is on the web. Connections are kept and shared until it is disposed of. */
export class HttpClient implements Disposable {
  readonly #ports: HttpClientPorts
  readonly #plain: PlainAgent
  readonly #tls: TlsAgent

  constructor(ports: HttpClientPorts) {
    this.#ports = ports
    const options = { keepAlive: true, maxSockets: socketsMax, lookup: ports.guard.lookup }
    this.#plain = new PlainAgent(options)
    this.#tls = new TlsAgent(options)
  }

  [Symbol.dispose](): void {
    this.#plain.destroy()
    this.#tls.destroy()
  }

  /**
   * The answer to a GET, whatever its status, when redirects have been followed. Its body must be
   * read or destroyed; when `signal` aborts, it is.
   *
   * @throws {SourceBrokeError} for a connection that broke.
   * @throws {DomainError} when there is none to be had.
   */
  async get(start: URL, headers: HttpHeaders, signal: AbortSignal): Promise<HttpAnswer> {
    let url = start
    let sent = headers
    for (let count = 0; ; count += 1) {
      this.#ports.guard.requireHost(url.hostname)
      const answer = await this.#send(url, sent, signal)
      const { location } = answer.headers
      const status = answer.statusCode ?? 0
      if (!redirectStatuses.has(status) || location === undefined) {
        return { status, headers: answer.headers, body: answer, url }
      }
      answer.destroy()
      if (count === redirectsMax) throw endless(start)
      const next = redirected(url, location)
      // Secrets are for whom they were given to.
      if (next.origin !== url.origin) sent = withoutSecrets(sent)
      url = next
    }
  }

  async #send(url: URL, headers: HttpHeaders, signal: AbortSignal): Promise<IncomingMessage> {
    const isTls = url.protocol === 'https:'
    const options = {
      agent: isTls ? this.#tls : this.#plain,
      headers: { 'user-agent': this.#ports.userAgent, ...withCredentials(url, headers) },
      maxHeaderSize: headerBytesMax,
      signal,
    }
    const bare = new URL(url)
    bare.username = ''
    bare.password = ''
    const timer = new AbortController()
    try {
      return await new Promise<IncomingMessage>((resolve, reject) => {
        const request = isTls ? tlsRequest(bare, options) : plainRequest(bare, options)
        request.once('response', resolve)
        // Also after the answer, when the body breaks: its reader is told by the body itself.
        request.on('error', reject)
        request.once('socket', (socket) => {
          giveBackWhatIsParsed(request, socket)
          if (!socket.connecting) return
          socket.once(isTls ? 'secureConnect' : 'connect', () => timer.abort())
          this.#ports.clock.sleep(connectMsMax, timer.signal).then(
            () =>
              request.destroy(
                new SourceBrokeError(`no connection within ${connectMsMax / 1000} s`),
              ),
            () => undefined, // connected, or failed before
          )
        })
        request.end()
      })
    } catch (error) {
      throw connectionError(url, error, signal)
    } finally {
      timer.abort()
    }
  }
}

/** Of what comes, Node's parser copies the body: what it has read is given back, which as garbage costs more than its bytes. */
function giveBackWhatIsParsed(request: ClientRequest, socket: Socket): void {
  socket.on('data', giveBackSoon)
  request.once('close', () => socket.off('data', giveBackSoon))
}

/** When all listeners have been told of it. */
function giveBackSoon({ buffer, byteLength }: Uint8Array): void {
  if (!(buffer instanceof ArrayBuffer) || byteLength !== buffer.byteLength) return
  queueMicrotask(() => {
    if (!buffer.detached) buffer.transfer(0)
  })
}

function withCredentials(url: URL, headers: HttpHeaders): HttpHeaders {
  if (url.username === '' && url.password === '') return headers
  const pair = `${unescaped(url.username)}:${unescaped(url.password)}`
  return { authorization: `Basic ${Buffer.from(pair).toString('base64')}`, ...headers }
}

function unescaped(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

const secretHeaders: ReadonlySet<string> = new Set(['authorization', 'cookie'])

function withoutSecrets(headers: HttpHeaders): HttpHeaders {
  const kept = Object.entries(headers).filter(
    ([name]) => !secretHeaders.has(name) && !name.startsWith('x-'),
  )
  return Object.fromEntries(kept)
}

function redirected(from: URL, location: string): URL {
  const next = URL.parse(location, from.href)
  if (next !== null && (next.protocol === 'http:' || next.protocol === 'https:')) {
    // Those of the first URL go along to where it is itself.
    if (next.origin === from.origin && next.username === '' && next.password === '') {
      next.username = from.username
      next.password = from.password
    }
    return next
  }
  throw new FailedPreconditionError(
    `cannot fetch ${shownSource(from.href)}: it leads on to ${shownSource(location)}, which is no address of the web`,
  )
}

function endless(start: URL): FailedPreconditionError {
  return new FailedPreconditionError(
    `cannot fetch ${shownSource(start.href)}: it leads from one address to the next more than ${redirectsMax} times; ask for the one that has the content`,
  )
}

/** What is missing for good, as far as one can see, rather than broken. */
const absences: Readonly<Record<string, string>> = {
  ENOTFOUND: 'there is no such host',
  ECONNREFUSED: 'nothing listens there (connection refused)',
  EHOSTUNREACH: 'there is no route to it',
  ENETUNREACH: 'there is no route to it',
}

function connectionError(url: URL, error: unknown, signal: AbortSignal): Error {
  if (signal.aborted) return new CancelledError('the transfer was cancelled', { cause: error })
  if (error instanceof DomainError) return error
  const { code = '', message } = error as NodeJS.ErrnoException
  const where = `cannot fetch ${shownSource(url.href)}`
  const absence = absences[code]
  if (code === 'ENOTFOUND') return new NotFoundError(`${where}: ${absence}`, { cause: error })
  if (absence !== undefined) return new SourceAbsentError(`${where}: ${absence}`, { cause: error })
  const distrust = distrustOf(code, message)
  if (distrust !== undefined) return new UnavailableError(`${where}: ${distrust}`, { cause: error })
  if (code === 'HPE_HEADER_OVERFLOW') {
    return new UnavailableError(`${where}: the headers of its answer are too long`, {
      cause: error,
    })
  }
  return new SourceBrokeError(`the connection broke (${code === '' ? message : code})`, {
    cause: error,
  })
}
