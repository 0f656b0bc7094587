import { FailedPreconditionError, InvalidArgumentError, NotFoundError } from '../base/errors.ts'
import type { FilePath } from '../base/paths.ts'
import { parseFilePath, rootPath } from '../base/paths.ts'
import { parseSourceUrl } from '../base/source-urls.ts'
import { contentSizeBytes, type Contents } from '../storage/contents.ts'
import type { DirectoryEntry, FileTrees, TreeEdit } from '../storage/file-trees.ts'
import type { Lease, Leases } from '../storage/leases.ts'
import type { Commits } from '../versioning/commits.ts'
import type { Files } from '../versioning/files.ts'
import { fetchStored } from './fetched-content.ts'
import { inOrder } from './in-order.ts'
import { type PeerChange, peerDifferences } from './pfs/peer-differences.ts'
import type { PeerCommit } from './pfs/peer.ts'
import { peerFile, type PfsSource } from './pfs/pfs-source.ts'
import { parallelCount } from './source-puts.ts'
import type { SourceSession, Sources } from './sources.ts'

export interface HistoryPutRequest {
  readonly repo: string
  readonly branch: string
  /** Of another pachd. */
  readonly url: string
  /** Where what is at the source goes. */
  readonly path: string
  /** It goes below `path`, under the name that the source has of its own. */
  readonly addsOwnName: boolean
  /** Go on after the last commit that was brought to the branch. */
  readonly resumes: boolean
  /** As in a put. */
  readonly parallelism: number
}

/** A commit that was brought over. */
export interface BroughtCommit {
  readonly id: string
  /** As in `repo/commit`, where it comes from. */
  readonly origin: string
  readonly changedCount: number
  readonly removedCount: number
}

export interface HistoryCounts {
  readonly fileCount: number
  readonly sizeBytes: number
  readonly commitCount: number
  /** Those that there are to bring. */
  readonly commitTotal: number
}

export interface HistoryPutsPorts {
  readonly sources: Sources
  readonly contents: Contents
  readonly trees: FileTrees
  readonly leases: Leases
  readonly commits: Commits
  readonly files: Files
}

/** Commits of a line that are held at once: each is small. */
const lineLengthMax = 1_000_000

/** Brings all commits of a branch elsewhere to a branch here, the oldest first, each as a commit. */
export class HistoryPuts {
  readonly #ports: HistoryPutsPorts

  constructor(ports: HistoryPutsPorts) {
    this.#ports = ports
  }

  /**
   * Each commit is there whole, or not at all; what was brought before a failure stays, and can be gone on
   * from. Commits that are open or cancelled there are left out.
   *
   * @throws {FailedPreconditionError} for a branch that has commits, unless it `resumes`.
   */
  async put(
    request: HistoryPutRequest,
    options: {
      readonly signal: AbortSignal
      readonly onProgress: (counts: HistoryCounts, brought?: BroughtCommit) => void
    },
  ): Promise<HistoryCounts> {
    const { signal } = options
    const url = parseSourceUrl(request.url)
    if (url.kind !== 'pfs') {
      throw new InvalidArgumentError(
        'only another pachd has a history: give pfs://HOST:PORT/REPO/BRANCH',
      )
    }
    await using session = this.#ports.sources.session()
    const source = await session.openPfs(url, signal)
    const line = await lineOf(source, signal)
    const start = await this.#start(request, line)
    const run = new HistoryRun(
      this.#ports,
      { session, source, request, ...options },
      line.length - start.index,
    )
    await run.bring(line, start)
    return run.counts
  }

  /** Where to begin: at the first commit, or after the last that was brought to the branch. */
  async #start(
    { repo, branch, resumes }: HistoryPutRequest,
    line: readonly PeerCommit[],
  ): Promise<Start> {
    const indexes = new Map(line.map((commit, index) => [originOf(commit), index]))
    let isEmpty = true
    try {
      for await (const { id, message } of this.#ports.commits.list({ repo, to: branch })) {
        isEmpty = false
        if (!resumes) break
        const index = indexes.get(originIn(message) ?? '')
        if (index !== undefined) return { index: index + 1, head: id }
      }
    } catch (error) {
      // Without a branch there is nothing to go on from; without a repo, the first commit will say so.
      if (!(error instanceof NotFoundError)) throw error
    }
    if (isEmpty) return { index: 0, head: undefined }
    throw new FailedPreconditionError(
      resumes
        ? `branch ${branch} of ${repo} has no commit that was brought from there: bring the history to a branch that does not exist yet`
        : `branch ${branch} of ${repo} has commits already: bring the history to a branch that does not exist yet, or go on with one that was begun with --resume`,
    )
  }
}

interface Start {
  readonly index: number
  /** The commit here that the next one follows. */
  readonly head: string | undefined
}

/** Finished commits, the oldest first. */
async function lineOf(source: PfsSource, signal: AbortSignal): Promise<readonly PeerCommit[]> {
  const line: PeerCommit[] = []
  for await (const commit of source.line(signal)) {
    if (commit.isFinished) line.push(commit)
    if (line.length > lineLengthMax) {
      throw new FailedPreconditionError(
        `${source.name} has more than ${lineLengthMax} commits, which is more than can be brought over`,
      )
    }
  }
  return line.toReversed()
}

function originOf({ repo, id }: PeerCommit): string {
  return `${repo}/${id}`
}

const broughtPattern = /^brought over from (\S+) /

function originIn(message: string): string | undefined {
  return broughtPattern.exec(message)?.[1]
}

const microsPerMilli = 1000

function messageOf(commit: PeerCommit, address: string): string {
  const { startedAt } = commit
  const when = startedAt === 0 ? '' : `, where it was started ${dateText(startedAt)}`
  return `brought over from ${originOf(commit)} at ${address}${when}`
}

function dateText(micros: number): string {
  const date = new Date(micros / microsPerMilli)
  return Number.isNaN(date.getTime()) ? 'at a time that is none' : date.toISOString()
}

interface RunOptions {
  readonly session: SourceSession
  readonly source: PfsSource
  readonly request: HistoryPutRequest
  readonly signal: AbortSignal
  readonly onProgress: (counts: HistoryCounts, brought?: BroughtCommit) => void
}

/** What one commit changes. */
interface Tally {
  changed: number
  removed: number
  addedBytes: number
}

class HistoryRun {
  readonly #ports: HistoryPutsPorts
  readonly #options: RunOptions
  readonly #target: FilePath
  #counts: HistoryCounts

  constructor(ports: HistoryPutsPorts, options: RunOptions, commitTotal: number) {
    this.#ports = ports
    this.#options = options
    const { request, source } = options
    const { path, addsOwnName } = request
    this.#target = parseFilePath(addsOwnName ? `${path}/${source.ownName}` : path)
    this.#counts = { fileCount: 0, sizeBytes: 0, commitCount: 0, commitTotal }
  }

  get counts(): HistoryCounts {
    return this.#counts
  }

  async bring(line: readonly PeerCommit[], start: Start): Promise<void> {
    let before = line[start.index - 1]
    let head = start.head
    for (const after of line.slice(start.index)) {
      head = await this.#bringOne(before, after, head)
      before = after
    }
  }

  async #bringOne(
    before: PeerCommit | undefined,
    after: PeerCommit,
    head: string | undefined,
  ): Promise<string> {
    const { request, source } = this.#options
    const { repo, branch } = request
    using lease = this.#ports.leases.begin()
    const tally: Tally = { changed: 0, removed: 0, addedBytes: 0 }
    const tree = await this.#ports.trees.edit(
      await this.#treeAt(head, lease),
      this.#edits(before, after, tally),
      { emptied: 'remove' },
    )
    const message = messageOf(after, source.peer.address)
    const { addedBytes } = tally
    const { id } = await this.#ports.commits.build({ repo, branch, message, tree, addedBytes })
    this.#count({ commitCount: 1 })
    this.#options.onProgress(this.#counts, {
      id,
      origin: originOf(after),
      changedCount: tally.changed,
      removedCount: tally.removed,
    })
    return id
  }

  async #treeAt(commit: string | undefined, lease: Lease): Promise<DirectoryEntry> {
    if (commit === undefined) return this.#ports.trees.emptyRoot()
    const { request, signal } = this.#options
    const { tree } = await this.#ports.files.snapshot({ repo: request.repo, commit, lease, signal })
    return tree
  }

  async *#edits(
    before: PeerCommit | undefined,
    after: PeerCommit,
    tally: Tally,
  ): AsyncGenerator<TreeEdit> {
    const { session, source, request, signal } = this.#options
    const { peer, path } = source
    const changes = peerDifferences(session.ports, { peer, before, after, path }, signal)
    const fetched = inOrder(changes, parallelCount(request.parallelism), async (change, stop) => {
      const edit = await this.#editOf(after, change, AbortSignal.any([signal, stop]))
      if (edit.entry === undefined) tally.removed += 1
      else {
        tally.changed += 1
        tally.addedBytes += contentSizeBytes(edit.entry.content)
      }
      return edit
    })
    yield* fetched
  }

  async #editOf(commit: PeerCommit, change: PeerChange, signal: AbortSignal) {
    if (change.kind === 'removed') return { path: this.#placeOf(change.path), entry: undefined }
    const { session, source } = this.#options
    const { path } = change.entry
    const file = await peerFile(session.ports, { peer: source.peer, commit }, change.entry, signal)
    const ports = { patience: session.ports, contents: this.#ports.contents, kept: undefined }
    const content = await fetchStored(ports, {
      file,
      id: path,
      name: `${originOf(commit)}${path}`,
      signal,
      onBytes: (sizeBytes) => this.#count({ sizeBytes }),
      onKept: () => undefined,
    })
    this.#count({ fileCount: 1 })
    return { path: this.#placeOf(path), entry: { kind: 'file', content } } as const
  }

  #placeOf(path: string): FilePath {
    const place = parseFilePath(`${this.#target}${path.slice(this.#options.source.path.length)}`)
    if (place !== rootPath || path === '') return place
    throw new InvalidArgumentError('cannot put a file at the root: say where it goes')
  }

  #count({ fileCount = 0, sizeBytes = 0, commitCount = 0 }): void {
    const before = this.#counts
    this.#counts = {
      fileCount: before.fileCount + fileCount,
      sizeBytes: before.sizeBytes + sizeBytes,
      commitCount: before.commitCount + commitCount,
      commitTotal: before.commitTotal,
    }
    if (commitCount === 0) this.#options.onProgress(this.#counts)
  }
}
