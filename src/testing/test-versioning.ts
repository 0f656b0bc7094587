import { collectBytes, utf8Text } from '../base/bytes.ts'
import { type Clock, SystemClock } from '../base/clock.ts'
import { SystemRandom } from '../base/random.ts'
import type { Database, ReadTransaction, Transaction } from '../database/database.ts'
import type { ChunkStore } from '../storage/chunks.ts'
import { ChunkedContents } from '../storage/chunked-contents.ts'
import { FileTrees } from '../storage/file-trees.ts'
import { Leases } from '../storage/leases.ts'
import { MemoryChunkStore } from '../storage/memory-chunks.ts'
import type {
  CommitName,
  Downstream,
  DownstreamState,
  ReadyHead,
  VersioningPorts,
} from '../versioning/ports.ts'
import { objectMigrations } from '../versioning/object-tables.ts'
import { versioningMigrations } from '../versioning/tables.ts'
import { transactionMigrations } from '../versioning/transaction-tables.ts'
import { createVersioning, type Versioning } from '../versioning/versioning.ts'
import { MemorySpools } from './memory-spools.ts'
import { TestCommitUses } from './test-commit-uses.ts'
import { temporaryDatabase } from './temporary-database.ts'

/** Versioning over a real database and chunks in memory, with the layers above played by the test. */
export interface TestVersioning extends AsyncDisposable {
  readonly versioning: Versioning
  readonly ports: VersioningPorts
  readonly database: Database
  /** Every head that became ready, in order. */
  readonly ready: readonly ReadyHead[]
  /** The same, call by call. */
  readonly readyCalls: readonly (readonly ReadyHead[])[]
  readonly downstream: TestDownstream
  readonly uses: TestCommitUses
  /** Reads a whole file as text. */
  read(repo: string, commit: string, path: string): Promise<string>
  /** The paths of all files, in order. */
  paths(repo: string, commit: string): Promise<readonly string[]>
}

/** Says what a test tells it to, repo by repo; at first that everything is pending. */
export class TestDownstream implements Downstream {
  readonly topics: readonly string[] = ['test-downstream']
  readonly #states = new Map<string, DownstreamState>()

  set(repo: string, state: DownstreamState): void {
    this.#states.set(repo, state)
  }

  async state(
    _tx: ReadTransaction,
    _commits: readonly CommitName[],
    repo: string,
  ): Promise<DownstreamState> {
    return this.#states.get(repo) ?? { kind: 'pending' }
  }

  async cause(): Promise<undefined> {
    return undefined
  }

  async besides(): Promise<ReadonlySet<string>> {
    return new Set()
  }

  async cutOff(): Promise<ReadonlySet<never>> {
    return new Set()
  }
}

const fileBytesMax = 64 * 1024 * 1024

/** With `chunks`, over a store of the test's own; otherwise in memory. */
export async function openTestVersioning(
  chunks: ChunkStore = new MemoryChunkStore(),
  clock: Clock = new SystemClock(),
): Promise<TestVersioning> {
  const held = await temporaryDatabase([
    versioningMigrations,
    objectMigrations,
    transactionMigrations,
  ])
  const ready: ReadyHead[] = []
  const readyCalls: (readonly ReadyHead[])[] = []
  const downstream = new TestDownstream()
  const uses = new TestCommitUses()
  const ports: VersioningPorts = {
    database: held.database,
    chunks,
    contents: new ChunkedContents(chunks),
    trees: new FileTrees(chunks),
    leases: new Leases(),
    spools: new MemorySpools(),
    clock,
    random: new SystemRandom(),
    onHeadReady: async (_tx: Transaction, heads) => {
      ready.push(...heads)
      readyCalls.push(heads)
    },
    downstream,
    uses,
  }
  const versioning = createVersioning(ports)
  return {
    versioning,
    ports,
    database: held.database,
    ready,
    readyCalls,
    downstream,
    uses,
    async read(repo, commit, path) {
      const { bytes } = await versioning.files.read({ repo, commit, path })
      return utf8Text(await collectBytes(bytes, fileBytesMax))
    },
    async paths(repo, commit) {
      const paths: string[] = []
      for await (const { path, entry } of versioning.files.walk({ repo, commit, path: '' })) {
        if (entry.kind === 'file') paths.push(path)
      }
      return paths
    },
    [Symbol.asyncDispose]: () => held[Symbol.asyncDispose](),
  }
}
