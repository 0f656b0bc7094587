import { SystemClock } from '../../src/base/clock.ts'
import { SystemRandom } from '../../src/base/random.ts'
import { type Client, createClient } from '../../src/client/client.ts'
import type { Transport } from '../../src/client/transport.ts'
import * as auth from '../../src/gen/auth_pb.ts'
import * as health from '../../src/gen/health_pb.ts'
import * as pachyderm from '../../src/gen/pachyderm_pb.ts'
import * as pfs from '../../src/gen/pfs_pb.ts'
import * as pps from '../../src/gen/pps_pb.ts'
import * as version from '../../src/gen/version_pb.ts'
import type { CloudEnvironment } from '../../src/clouds/bucket.ts'
import type { BackupConfig, S3Config } from '../../src/server/server-config.ts'
import type { ExecutorsConfig } from '../../src/server/executors-config.ts'
import { Log } from '../../src/server/log.ts'
import type { BucketConfig } from '../../src/server/pack-places-ports.ts'
import { openServer } from '../../src/server/server.ts'
import type { Reach } from '../../src/sources/reach.ts'
import type { Patience } from '../../src/sources/resumed-bytes.ts'
import { TemporaryDirectory } from '../../src/testing/temporary-directory.ts'
import { GrpcJsTransport } from './grpc-js-transport.ts'

/** Every service of a server, through grpc-js. */
export class TestClient implements AsyncDisposable {
  readonly transport: Transport
  readonly pfs: Client<typeof pfs.API>
  readonly objects: Client<typeof pfs.ObjectAPI>
  readonly pps: Client<typeof pps.API>
  readonly repos: Client<typeof pachyderm.Repos>
  readonly files: Client<typeof pachyderm.Files>
  readonly commits: Client<typeof pachyderm.Commits>
  readonly jobs: Client<typeof pachyderm.Jobs>
  readonly pipelines: Client<typeof pachyderm.Pipelines>
  readonly secrets: Client<typeof pachyderm.Secrets>
  readonly trials: Client<typeof pachyderm.Trials>
  readonly transactions: Client<typeof pachyderm.Transactions>
  readonly admin: Client<typeof pachyderm.Admin>
  readonly migrations: Client<typeof pachyderm.Migrations>
  readonly backups: Client<typeof pachyderm.Backups>
  readonly transfers: Client<typeof pachyderm.Transfers>
  readonly auth: Client<typeof auth.API>
  readonly health: Client<typeof health.Health>
  readonly version: Client<typeof version.API>

  constructor(port: number) {
    const transport = new GrpcJsTransport(`127.0.0.1:${port}`)
    this.transport = transport
    this.pfs = createClient(pfs.API, transport)
    this.objects = createClient(pfs.ObjectAPI, transport)
    this.pps = createClient(pps.API, transport)
    this.repos = createClient(pachyderm.Repos, transport)
    this.files = createClient(pachyderm.Files, transport)
    this.commits = createClient(pachyderm.Commits, transport)
    this.jobs = createClient(pachyderm.Jobs, transport)
    this.pipelines = createClient(pachyderm.Pipelines, transport)
    this.secrets = createClient(pachyderm.Secrets, transport)
    this.trials = createClient(pachyderm.Trials, transport)
    this.transactions = createClient(pachyderm.Transactions, transport)
    this.admin = createClient(pachyderm.Admin, transport)
    this.migrations = createClient(pachyderm.Migrations, transport)
    this.backups = createClient(pachyderm.Backups, transport)
    this.transfers = createClient(pachyderm.Transfers, transport)
    this.auth = createClient(auth.API, transport)
    this.health = createClient(health.Health, transport)
    this.version = createClient(version.API, transport)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.transport[Symbol.asyncDispose]()
  }
}

/** A whole server in this process, on a directory and a port of its own, with a client. */
export class TestPachd extends TestClient {
  readonly root: string
  readonly port: number
  /** Of the door for files by HTTP alone. */
  readonly httpPort: number
  /** Of the door for S3. */
  readonly s3Port: number
  /** Lines of the server's log. */
  readonly log: readonly string[]
  readonly #opened: AsyncDisposableStack

  private constructor(
    facts: Pick<TestPachd, 'root' | 'port' | 'httpPort' | 's3Port' | 'log'>,
    opened: AsyncDisposableStack,
  ) {
    super(facts.port)
    this.root = facts.root
    this.port = facts.port
    this.httpPort = facts.httpPort
    this.s3Port = facts.s3Port
    this.log = facts.log
    this.#opened = opened
  }

  /** `root` (which is kept) instead of a directory that goes with the server. */
  static async start(
    options: {
      readonly root?: string
      readonly sources?: Reach
      readonly secretKeysFile?: string
      readonly programPath?: string
      readonly patience?: Patience
      readonly clouds?: CloudEnvironment
      readonly packs?: BucketConfig
      readonly metadataCopyMinutes?: number
      readonly backup?: BackupConfig
      readonly s3?: Pick<S3Config, 'keys' | 'domain'>
      readonly executors?: ExecutorsConfig
    } = {},
  ): Promise<TestPachd> {
    await using opened = new AsyncDisposableStack()
    const {
      sources,
      secretKeysFile,
      programPath,
      patience,
      clouds,
      packs,
      metadataCopyMinutes,
      executors,
    } = options
    const root = options.root ?? opened.use(await TemporaryDirectory.create()).join('data')
    const clock = new SystemClock()
    const lines: string[] = []
    const log = new Log(clock, (line) => lines.push(line))
    const address = { host: '127.0.0.1', port: 0 }
    const server = opened.use(
      await openServer(
        {
          root,
          ...address,
          http: { ...address, isAsked: true },
          s3: { ...address, isAsked: true, ...options.s3 },
          ...(sources !== undefined && { sources }),
          ...(executors !== undefined && { executors }),
          ...(secretKeysFile !== undefined && { secretKeysFile }),
          ...(programPath !== undefined && { programPath }),
          ...(packs !== undefined && { packs }),
          ...(metadataCopyMinutes !== undefined && { metadataCopyMinutes }),
          ...(options.backup !== undefined && { backup: options.backup }),
        },
        {
          clock,
          random: new SystemRandom(),
          log,
          release: '0.0.0-test',
          ...(patience !== undefined && { patience }),
          ...(clouds !== undefined && { clouds }),
        },
      ),
    )
    const { port } = server.address
    const httpPort = server.httpAddress?.port ?? 0
    const s3Port = server.s3Address?.port ?? 0
    return new TestPachd({ root, port, httpPort, s3Port, log: lines }, opened.move())
  }

  override async [Symbol.asyncDispose](): Promise<void> {
    await super[Symbol.asyncDispose]()
    await this.#opened.disposeAsync()
  }
}
