import type { Bucket, CloudEnvironment } from '../clouds/bucket.ts'
import { Buckets } from '../clouds/open-buckets.ts'
import { withOwnCredentials } from '../clouds/own-credentials.ts'
import type { Clock } from '../base/clock.ts'
import type { Random } from '../base/random.ts'
import { FailedPreconditionError } from '../base/errors.ts'
import type { Address } from '../client/address.ts'
import { parseSourceUrl, type PfsUrl, type SourceUrl, type StoreUrl } from '../base/source-urls.ts'
import type { ChunkHolder, ChunkStore } from '../storage/chunks.ts'
import { OfferedContents } from '../storage/offered-contents.ts'
import { HttpClient } from './http/http-client.ts'
import { httpAuthorization } from './http/http-authorization.ts'
import { HttpSource } from './http/http-source.ts'
import { openPeer } from './pfs/open-peer.ts'
import type { Peer } from './pfs/peer.ts'
import { PeerHistory } from './pfs/peer-history.ts'
import { peerTransport } from './pfs/peer-calls.ts'
import { PfsSource } from './pfs/pfs-source.ts'
import { type Reach, ReachGuard } from './reach.ts'
import { StoreSource } from './stores/store-source.ts'
import { type Patience, type ResumePorts, usualPatience } from './resumed-bytes.ts'
import type { PullOrigin } from './pull-origin.ts'
import type { Source } from './source.ts'

export interface SourcesPorts {
  readonly clock: Clock
  readonly random: Random
  /** The version of this package. */
  readonly release: string
  readonly reach: Reach
  readonly patience?: Patience
  /** Where contents that another server of ours offers may be already. */
  readonly chunks: ChunkStore & ChunkHolder
  /** Where credentials of object stores come from. */
  readonly clouds: CloudEnvironment
}

/** The places that this server can put files from. */
export class Sources {
  readonly #ports: SourcesPorts
  readonly #guard: ReachGuard

  constructor(ports: SourcesPorts) {
    this.#ports = ports
    this.#guard = new ReachGuard(ports.reach)
  }

  /**
   * Connections that the sources of one command share; with `credentials`, in place of all that the server
   * has: named as variables such as `AWS_ACCESS_KEY_ID`.
   */
  session(credentials?: Readonly<Record<string, string>>): SourceSession {
    const { patience = usualPatience, ...ports } = this.#ports
    const offered = new OfferedContents(ports.chunks)
    return new SourceSession({ ...ports, patience, offered, guard: this.#guard }, credentials)
  }
}

export interface SessionPorts extends ResumePorts {
  readonly clouds: CloudEnvironment
  readonly offered: OfferedContents
  readonly release: string
  readonly guard: ReachGuard
}

/** Opens sources, and keeps what they hold until it is disposed of. */
export class SourceSession implements AsyncDisposable {
  /** How to go on when a source breaks. */
  readonly ports: SessionPorts
  readonly #opened = new AsyncDisposableStack()
  readonly #client: HttpClient
  readonly #credentials: Readonly<Record<string, string>> | undefined
  /** By kind: credentials that were brought along may be of one and not of another. */
  readonly #buckets = new Map<StoreUrl['kind'], Buckets>()
  /** By address. */
  readonly #peers = new Map<string, Promise<Peer>>()

  constructor(ports: SessionPorts, credentials?: Readonly<Record<string, string>>) {
    this.ports = ports
    this.#credentials = credentials
    const userAgent = `pachyderm-ts/${ports.release}`
    this.#client = this.#opened.use(new HttpClient({ ...ports, userAgent }))
  }

  /**
   * The source that a URL names.
   *
   * @throws {InvalidArgumentError} for a URL of no kind that is known.
   */
  async open(text: string, signal: AbortSignal): Promise<Source> {
    return this.#source(parseSourceUrl(text), signal)
  }

  async openPfs(url: PfsUrl, signal: AbortSignal): Promise<PfsSource> {
    return PfsSource.open(this.ports, await this.#peer(url, signal), url, signal)
  }

  /**
   * What another server of ours knows of its repos, and where their contents come from.
   *
   * @throws {FailedPreconditionError} when it is none of ours.
   */
  async openHistory(address: Address, signal: AbortSignal): Promise<PullOrigin> {
    const peer = await this.#peer(
      { kind: 'pfs', ...address, repo: '', commit: '', path: [] },
      signal,
    )
    if (peer.contentsOf === undefined) {
      throw new FailedPreconditionError(
        `pachd at ${peer.address} is none of this project: bring the history of its branches over with pachctl put-file --history, or all of it with pachctl migrate`,
      )
    }
    const { clock, guard } = this.ports
    return new PeerHistory(this.#opened.use(peerTransport(address, clock, guard)), address)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#opened.disposeAsync()
  }

  async #source(url: SourceUrl, signal: AbortSignal): Promise<Source> {
    switch (url.kind) {
      case 'http':
        return new HttpSource(this.#client, url, httpAuthorization(this.#credentials, url.url))
      case 'pfs':
        return this.openPfs(url, signal)
      default:
        this.ports.guard.requireStore(url)
        return new StoreSource(this.ports, await this.#bucket(url), url)
    }
  }

  #bucket(url: StoreUrl): Promise<Bucket> {
    const { kind } = url
    const { clouds } = this.ports
    const variables = this.#credentials
    let buckets = this.#buckets.get(kind)
    if (buckets === undefined) {
      const own = variables && withOwnCredentials(clouds, { kind, variables })
      buckets = this.#opened.use(new Buckets(own ?? clouds))
      this.#buckets.set(kind, buckets)
    }
    return buckets.open(url)
  }

  #peer({ host, port }: PfsUrl, signal: AbortSignal): Promise<Peer> {
    const key = `${host} ${port}`
    const known = this.#peers.get(key)
    if (known !== undefined) return known
    const { clock, guard } = this.ports
    const transport = this.#opened.use(peerTransport({ host, port }, clock, guard))
    const peer = openPeer(this.ports, transport, { host, port }, signal)
    this.#peers.set(key, peer)
    return peer
  }
}
