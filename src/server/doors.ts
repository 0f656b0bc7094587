import type { RequestListener } from 'node:http'
import { HttpFiles } from '../api/http-files.ts'
import { HttpListener } from '../api/http-listener.ts'
import { answerLandingPage } from '../api/landing-page.ts'
import { Listener, type ListenOptions } from '../api/listener.ts'
import { type PortAddress, probePort } from '../api/open-port.ts'
import { UnavailableError } from '../base/errors.ts'
import type { Versioning } from '../versioning/versioning.ts'
import type { HttpConfig, ServerConfig } from './command-line.ts'
import { connectionCountMax } from './connection-count.ts'
import type { ServerPorts } from './ports.ts'

export type DoorsConfig = Pick<ServerConfig, 'host' | 'port' | 'http'>

/** Of all connections that may be open, the part that those of the HTTP port may be. */
const httpConnectionsShare = 1 / 4

/** The open ports of a server: the one for everything, and perhaps one for files by HTTP. */
export class Doors implements AsyncDisposable {
  readonly #listener: Listener
  readonly #http: HttpListener | undefined

  private constructor(listener: Listener, http: HttpListener | undefined) {
    this.#listener = listener
    this.#http = http
  }

  /**
   * @throws {DomainError} with advice, when a port that was asked for cannot be had. One that was not
   * is done without, which is logged.
   */
  static async open(
    config: DoorsConfig,
    what: { readonly routes: ListenOptions['routes']; readonly versioning: Versioning },
    ports: ServerPorts,
  ): Promise<Doors> {
    await using opened = new AsyncDisposableStack()
    const files = new HttpFiles(what.versioning, ports)
    const connectionsMax = connectionCountMax()
    const forHttp =
      config.http === undefined ? 0 : Math.floor(connectionsMax * httpConnectionsShare)
    const http =
      config.http === undefined
        ? undefined
        : await openHttp(config.http, { files, connectionCountMax: forHttp }, ports)
    if (http !== undefined) opened.use(http)
    const { host, port } = config
    const listener = await Listener.open(
      {
        host,
        port,
        connectionCountMax: connectionsMax - forHttp,
        routes: what.routes,
        http: withLandingPage(files),
      },
      ports,
    )
    opened.move()
    return new Doors(listener, http)
  }

  get address(): PortAddress {
    return this.#listener.address
  }

  /** Where files are served by HTTP and nothing else is. */
  get httpAddress(): PortAddress | undefined {
    return this.#http?.address
  }

  /** Takes no more callers, gives running calls at most `graceMs` to end, and ends the rest. */
  async close(graceMs: number): Promise<void> {
    await Promise.all([this.#listener.close(graceMs), this.#http?.close(graceMs)])
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close(0)
  }
}

/** Throws as `Doors.open` does, without keeping any port. */
export async function probeDoors(config: DoorsConfig): Promise<void> {
  await probePort(config)
  const { http } = config
  if (http?.isAsked === true) await probePort(http).catch((error: unknown) => throwAsked(error))
}

function withLandingPage(files: HttpFiles): RequestListener {
  return (request, response) => {
    if (!files.accept(request, response)) answerLandingPage(request, response)
  }
}

async function openHttp(
  config: HttpConfig,
  options: { readonly files: HttpFiles; readonly connectionCountMax: number },
  { clock, log }: ServerPorts,
): Promise<HttpListener | undefined> {
  const { files, connectionCountMax: countMax } = options
  const http: RequestListener = (request, response) => files.answer(request, response)
  try {
    return await HttpListener.open({ ...config, connectionCountMax: countMax, http }, clock)
  } catch (error) {
    if (config.isAsked || !(error instanceof UnavailableError)) throwAsked(error)
    log.warning(
      'files are served by HTTP at the main address only; choose another with --http-address, or off',
      { reason: error.message },
    )
    return undefined
  }
}

function throwAsked(error: unknown): never {
  if (!(error instanceof UnavailableError)) throw error
  throw new UnavailableError(`--http-address: ${error.message}, or off to do without`, {
    cause: error,
  })
}
