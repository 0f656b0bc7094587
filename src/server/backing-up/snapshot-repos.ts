import { join } from 'node:path'
import { FetchedObjects } from '../../backups/fetched-objects.ts'
import { decodeSnapshot, type SnapshotName } from '../../backups/format.ts'
import {
  openRestoredMetadata,
  requireRestorable,
  type RestorePorts,
} from '../../backups/restoring.ts'
import { NotFoundError } from '../../base/errors.ts'
import type { Random } from '../../base/random.ts'
import { JobCommitUses } from '../../pipelines/commit-uses.ts'
import { JobDownstream } from '../../pipelines/downstream.ts'
import type {
  PeerCommitFacts,
  PeerCommitName,
  PeerRepo,
  PeerTag,
  PullOrigin,
} from '../../sources/pull-origin.ts'
import { openChunkStore } from '../../storage/chunk-store.ts'
import { ChunkedContents } from '../../storage/chunked-contents.ts'
import type { ChunkStore } from '../../storage/chunks.ts'
import { FileTrees } from '../../storage/file-trees.ts'
import { LocalObjectStore } from '../../storage/local-objects.ts'
import type { ObjectKey } from '../../storage/object-store.ts'
import type { ChunkOrigin } from '../../storage/offered-contents.ts'
import { ProllyMaps } from '../../storage/prolly-map.ts'
import { FileSpools } from '../../storage/spool.ts'
import type { RepoInfo } from '../../versioning/repos.ts'
import { createVersioning, type Versioning } from '../../versioning/versioning.ts'

export interface SnapshotReposPorts extends Pick<
  RestorePorts,
  'migrations' | 'clock' | 'release' | 'storeId'
> {
  readonly random: Random
  /** What has come of the backup is kept there. */
  readonly directory: string
}

/** A snapshot of a backup. */
export interface ReadSnapshot {
  readonly name: SnapshotName
  /** Its object. */
  readonly bytes: Uint8Array
  /** Reads another object. @throws {DomainError} */
  readonly read: (key: ObjectKey) => Promise<Uint8Array>
}

/** What there is of chunks for one restore. */
const cacheBytes = 8 * 1024 * 1024

/**
 * The repos of a snapshot. Of the backup, its metadata are read, and the packs that are needed for what is
 * asked for.
 */
export class SnapshotRepos implements PullOrigin, AsyncDisposable {
  readonly address: string
  readonly #versioning: Versioning
  readonly #chunks: ChunkStore
  readonly #opened: AsyncDisposableStack

  private constructor(
    name: SnapshotName,
    parts: { readonly versioning: Versioning; readonly chunks: ChunkStore },
    opened: AsyncDisposableStack,
  ) {
    this.address = `snapshot ${name}`
    this.#versioning = parts.versioning
    this.#chunks = parts.chunks
    this.#opened = opened
  }

  static async open(
    ports: SnapshotReposPorts,
    { name, bytes, read }: ReadSnapshot,
  ): Promise<SnapshotRepos> {
    const { clock, random, directory } = ports
    const snapshot = decodeSnapshot(name, bytes)
    requireRestorable(name, snapshot, ports)
    await using opened = new AsyncDisposableStack()
    const near = opened.use(await LocalObjectStore.open(directory))
    const objects = new FetchedObjects(near, read)
    const database = opened.use(
      await openRestoredMetadata(
        ports,
        { name, snapshot },
        {
          path: join(directory, 'metadata.db'),
          read: async (key) => await objects.get(key, 0, await objects.sizeBytes(key)),
        },
      ),
    )
    const scratchDirectory = join(directory, 'scratch')
    const chunks = opened.use(
      await openChunkStore({
        objects,
        database,
        scratchDirectory,
        cacheBytes,
        adoptsNothing: true,
      }),
    )
    const versioning = createVersioning({
      database,
      chunks,
      clock,
      random,
      contents: new ChunkedContents(chunks),
      trees: new FileTrees(chunks),
      leases: chunks.leases,
      spools: new FileSpools(scratchDirectory, () => undefined),
      onHeadReady: async () => Promise.resolve(),
      downstream: new JobDownstream(),
      uses: new JobCommitUses({ database, maps: new ProllyMaps(chunks) }),
    })
    return new SnapshotRepos(name, { versioning, chunks }, opened.move())
  }

  async repos(): Promise<readonly PeerRepo[]> {
    return await this.#versioning.repos.list()
  }

  async repo(name: string): Promise<RepoInfo> {
    try {
      return await this.#versioning.repos.inspect(name)
    } catch (error) {
      if (!(error instanceof NotFoundError)) throw error
      throw new NotFoundError(`${this.address} has no repo ${name}`, { cause: error })
    }
  }

  async branches(repo: string): Promise<ReadonlyMap<string, string>> {
    const branches = await this.#versioning.branches.list(repo)
    return new Map(branches.map(({ name, head }) => [name, head]))
  }

  async *tags(repo: string, signal: AbortSignal): AsyncGenerator<PeerTag> {
    yield* this.#versioning.commitTags.list(repo, signal)
  }

  async *commits(repo: string, signal: AbortSignal): AsyncGenerator<PeerCommitName> {
    for await (const { id, state } of this.#versioning.commits.list({ repo })) {
      signal.throwIfAborted()
      if (state.kind === 'finished') yield { repo, id }
    }
  }

  async *line(repo: string, head: string, signal: AbortSignal): AsyncGenerator<PeerCommitFacts> {
    for await (const commit of this.#versioning.commits.list({ repo, to: head })) {
      signal.throwIfAborted()
      const { state, ...facts } = commit
      if (state.kind === 'open') continue
      yield { ...facts, finishedAt: state.finishedAt, root: state.tree.root }
    }
  }

  contentsOf(): ChunkOrigin {
    const chunks = this.#chunks
    return {
      async *fetch(ids, signal) {
        for (const id of ids) {
          signal.throwIfAborted()
          yield await chunks.get(id)
        }
      },
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#opened.disposeAsync()
  }
}
