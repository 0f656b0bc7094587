import type { RequestListener } from 'node:http'
import { HttpFiles } from '../api/http-files.ts'
import { HttpListener } from '../api/http-listener.ts'
import { answerLandingPage } from '../api/landing-page.ts'
import { Listener, type ListenOptions } from '../api/listener.ts'
import { type PortAddress, probePort } from '../api/open-port.ts'
import { UnavailableError } from '../base/errors.ts'
import type { Versioning } from '../versioning/versioning.ts'
import type { HttpConfig, ServerConfig } from './server-config.ts'
import { connectionCountMax } from './connection-count.ts'
import type { ServerPorts } from './ports.ts'

export type DoorsConfig = Pick<ServerConfig, 'host' | 'port' | 'http' | 's3'>

/** Of all connections that may be open, the part that those of each further port may be. */
const connectionsShare = 1 / 4
const anybodyText =
  'S3 is served to anybody who reaches its port: set PACHD_S3_ACCESS_KEY and PACHD_S3_SECRET_KEY for those only who sign with them'

/** The open ports of a server: the one for everything, and perhaps one for files by HTTP and for S3. */
export class Doors implements AsyncDisposable {
  readonly #listener: Listener
  readonly #http: HttpListener | undefined
  readonly #s3: HttpListener | undefined

  private constructor(
    listener: Listener,
    others: { readonly http: HttpListener | undefined; readonly s3: HttpListener | undefined },
  ) {
    this.#listener = listener
    this.#http = others.http
    this.#s3 = others.s3
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
    const share = Math.floor(connectionsMax * connectionsShare)
    const openOther = async (
      given: HttpConfig | undefined,
      door: OtherDoor,
      answer: RequestListener,
    ): Promise<HttpListener | undefined> => {
      if (given === undefined) return undefined
      const options = { answer, connectionCountMax: share }
      const listening = await openHttp(given, door, options, ports)
      return listening === undefined ? undefined : opened.use(listening)
    }
    const http = await openOther(config.http, httpDoor, (request, response) =>
      files.answer(request, response),
    )
    const s3 =
      config.s3 &&
      (await openOther(config.s3, s3Door, await s3Answer(what.versioning, config.s3, ports)))
    if (s3 !== undefined && config.s3?.keys === undefined) {
      ports.log.warning(anybodyText, { ...s3.address })
    }
    const others = [config.http, config.s3].filter((one) => one !== undefined)
    const { host, port } = config
    const listener = await Listener.open(
      {
        host,
        port,
        connectionCountMax: connectionsMax - others.length * share,
        routes: what.routes,
        http: withLandingPage(files),
      },
      ports,
    )
    opened.move()
    return new Doors(listener, { http, s3 })
  }

  get address(): PortAddress {
    return this.#listener.address
  }

  /** Where files are served by HTTP and nothing else is. */
  get httpAddress(): PortAddress | undefined {
    return this.#http?.address
  }

  get s3Address(): PortAddress | undefined {
    return this.#s3?.address
  }

  /** All that it listens at. */
  get ports(): ReadonlySet<number> {
    const addresses = [this.address, this.httpAddress, this.s3Address]
    return new Set(addresses.flatMap((address) => address?.port ?? []))
  }

  /** Takes no more callers, gives running calls at most `graceMs` to end, and ends the rest. */
  async close(graceMs: number): Promise<void> {
    const doors = [this.#listener, this.#http, this.#s3]
    await Promise.all(doors.map(async (door) => door?.close(graceMs)))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close(0)
  }
}

/** Throws as `Doors.open` does, without keeping any port. */
export async function probeDoors(config: DoorsConfig): Promise<void> {
  await probePort(config)
  const { http, s3 } = config
  for (const [given, door] of [
    [http, httpDoor],
    [s3, s3Door],
  ] as const) {
    if (given?.isAsked !== true) continue
    await probePort(given).catch((error: unknown) => throwAsked(error, door))
  }
}

/** Loaded where S3 is served. */
async function s3Answer(
  versioning: Versioning,
  config: NonNullable<DoorsConfig['s3']>,
  ports: ServerPorts,
): Promise<RequestListener> {
  const { S3Gateway } = await import('../api/s3-gateway.ts')
  const gateway = new S3Gateway(versioning, ports, config)
  return (request, response) => gateway.answer(request, response)
}

interface OtherDoor {
  readonly flag: string
  readonly without: string
}

const httpDoor: OtherDoor = {
  flag: '--http-address',
  without: 'files are served by HTTP at the main address only',
}
const s3Door: OtherDoor = { flag: '--s3-address', without: 'S3 is not served' }

function withLandingPage(files: HttpFiles): RequestListener {
  return (request, response) => {
    if (!files.accept(request, response)) answerLandingPage(request, response)
  }
}

async function openHttp(
  config: HttpConfig,
  door: OtherDoor,
  options: { readonly answer: RequestListener; readonly connectionCountMax: number },
  { clock, log }: ServerPorts,
): Promise<HttpListener | undefined> {
  const { answer: http, connectionCountMax: countMax } = options
  const { host, port } = config
  try {
    return await HttpListener.open({ host, port, connectionCountMax: countMax, http }, clock)
  } catch (error) {
    if (config.isAsked || !(error instanceof UnavailableError)) throwAsked(error, door)
    log.warning(`${door.without}; choose another address with ${door.flag}, or off`, {
      reason: error.message,
    })
    return undefined
  }
}

function throwAsked(error: unknown, { flag }: OtherDoor): never {
  if (!(error instanceof UnavailableError)) throw error
  throw new UnavailableError(`${flag}: ${error.message}, or off to do without`, { cause: error })
}
