import type { ByteStream } from '../../base/bytes.ts'
import type { Clock } from '../../base/clock.ts'
import type { CommitRef, FileRef } from '../../base/file-refs.ts'
import { Code } from '../../base/grpc-wire.ts'
import { createClient, type Client } from '../../client/client.ts'
import { putFile, readFile } from '../../client/file-transfers.ts'
import { RpcError } from '../../client/rpc-error.ts'
import type { CallOptions, Transport } from '../../client/transport.ts'
import { Files, Repos } from '../../gen/pachyderm_pb.ts'
import {
  API,
  type BranchInfos,
  type CommitInfo,
  type FileInfo,
  type FileInfos,
  FileType,
  type RepoInfos,
} from '../../gen/pfs_pb.ts'
import { withProgress } from './progress.ts'

/** What an operation may take, or how long bytes may keep it waiting. */
const callMsMax = 20_000
/** So many commits of a repo are listed, newest first; the others are there, too. */
const listedCommitsMax = 2000

/** A file or a directory of a commit. */
export interface TreeEntry {
  readonly name: string
  readonly isDirectory: boolean
  readonly sizeBytes: number
  /** Equal for equal content. */
  readonly hash: string
}

/** A commit that a name stood for. */
export interface ResolvedCommit {
  readonly repo: string
  readonly id: string
  readonly isOpen: boolean
  /** Seconds since 1970: when it was finished, or started. */
  readonly changedAt: number
}

type RepoBatch = Pick<RepoInfos, 'repoInfo'>
type BranchBatch = Pick<BranchInfos, 'branchInfo'>
type FileBatch = Pick<FileInfos, 'fileInfo'>

/** The calls that the mount makes; none of them waits for ever. They throw `RpcError`. */
export class ServerCalls {
  readonly #transport: Transport
  readonly #clock: Clock
  readonly #pfs: Client<typeof API>
  readonly #files: Client<typeof Files>
  readonly #repos: Client<typeof Repos>

  constructor(transport: Transport, clock: Clock) {
    this.#transport = transport
    this.#clock = clock
    this.#pfs = createClient(API, transport)
    this.#files = createClient(Files, transport)
    this.#repos = createClient(Repos, transport)
  }

  async requireRepo(name: string): Promise<void> {
    await this.#pfs.inspectRepo({ repo: { name } }, { timeoutMs: callMsMax })
  }

  async listRepos(): Promise<readonly string[]> {
    const names: string[] = []
    const batches = this.#batches<RepoBatch>(
      (options) => this.#repos.listRepos({}, options),
      (options) => this.#pfs.listRepo({}, options),
    )
    for await (const { repoInfo } of batches) {
      for (const { repo } of repoInfo) if (repo !== undefined) names.push(repo.name)
    }
    return names
  }

  /** Names of branches, and ids of commits. */
  async listRefs(repo: string): Promise<readonly string[]> {
    const options = { timeoutMs: callMsMax }
    const [branches, { commitInfo }] = await Promise.all([
      this.#listBranches(repo),
      this.#pfs.listCommit({ repo: { name: repo }, number: BigInt(listedCommitsMax) }, options),
    ])
    return [...branches, ...commitInfo.flatMap(({ commit }) => commit?.id ?? [])]
  }

  /** Those that have a head. */
  async #listBranches(repo: string): Promise<readonly string[]> {
    const request = { repo: { name: repo } }
    const names: string[] = []
    const batches = this.#batches<BranchBatch>(
      (options) => this.#repos.listBranches(request, options),
      (options) => this.#pfs.listBranch(request, options),
    )
    for await (const { branchInfo } of batches) {
      for (const { name, head } of branchInfo) if (head !== undefined) names.push(name)
    }
    return names
  }

  /** A list in batches; a server of 1.5 has it in one answer only. */
  async *#batches<Batch>(
    streamed: (options: CallOptions) => AsyncIterable<Batch>,
    whole: (options: CallOptions) => Promise<Batch>,
    signal?: AbortSignal,
  ): AsyncGenerator<Batch> {
    const limits = { waitMsMax: callMsMax, ...(signal && { signal }) }
    try {
      yield* withProgress(this.#clock, limits, streamed)
    } catch (error) {
      if (!(error instanceof RpcError && error.code === Code.unimplemented)) throw error
      yield await whole({ timeoutMs: callMsMax })
    }
  }

  async resolve(commit: CommitRef): Promise<ResolvedCommit> {
    const { repo, id } = commit
    const request = { commit: { repo: { name: repo }, id } }
    const info = await this.#pfs.inspectCommit(request, { timeoutMs: callMsMax })
    return {
      repo,
      id: info.commit?.id ?? id,
      isOpen: info.finished === undefined,
      changedAt: changedAt(info),
    }
  }

  /** Undefined when nothing is there. */
  async entry({ commit, path }: FileRef): Promise<TreeEntry | undefined> {
    // A glob that matches one path: an answer that has no list of children, however many there are.
    const pattern = path.replaceAll(/[\\*?[]/g, String.raw`\$&`)
    const request = { commit: { repo: { name: commit.repo }, id: commit.id }, pattern }
    const { fileInfo } = await this.#pfs.globFile(request, { timeoutMs: callMsMax })
    return fileInfo.map(entryOf)[0]
  }

  /** What is in a directory, by name. */
  async *list({ commit, path }: FileRef, signal: AbortSignal): AsyncGenerator<TreeEntry> {
    const file = { commit: { repo: { name: commit.repo }, id: commit.id }, path }
    const batches = this.#batches<FileBatch>(
      (options) => this.#files.listFiles({ file }, options),
      (options) => this.#pfs.listFile({ file }, options),
      signal,
    )
    for await (const { fileInfo } of batches) yield* fileInfo.map(entryOf)
  }

  /** Some bytes of a file, fewer at its end. */
  read(
    file: FileRef,
    range: { readonly offset: number; readonly size: number },
  ): AsyncGenerator<Uint8Array> {
    const part = { offsetBytes: range.offset, sizeBytes: range.size }
    return withProgress(this.#clock, { waitMsMax: callMsMax }, (options) =>
      readFile(this.#transport, file, { ...part, ...options }),
    )
  }

  /** Resolves when all is durable; until then, nothing of it is there. */
  async put(
    file: FileRef,
    bytes: ByteStream,
    options: { readonly overwrite: boolean; readonly signal: AbortSignal },
  ): Promise<void> {
    await putFile(this.#transport, file, bytes, options)
  }

  async delete({ commit, path }: FileRef): Promise<void> {
    const file = { commit: { repo: { name: commit.repo }, id: commit.id }, path }
    await this.#pfs.deleteFile({ file }, { timeoutMs: callMsMax })
  }

  async move(from: FileRef, to: FileRef, overwrite: boolean): Promise<void> {
    const [source, destination] = [from, to].map(({ commit, path }) => ({
      commit: { repo: { name: commit.repo }, id: commit.id },
      path,
    }))
    if (source === undefined || destination === undefined) return
    await this.#files.moveFile({ source, destination, overwrite }, { timeoutMs: callMsMax })
  }
}

function entryOf(info: FileInfo): TreeEntry {
  const path = info.file?.path ?? ''
  return {
    name: path.slice(path.lastIndexOf('/') + 1),
    isDirectory: info.fileType === FileType.DIR,
    sizeBytes: Number(info.sizeBytes),
    // A flat text: nodes keep it, and hex put together digit by digit takes twenty times the memory.
    hash: Buffer.from(info.hash).toString('base64'),
  }
}

function changedAt({ finished, started }: CommitInfo): number {
  return Number((finished ?? started)?.seconds ?? 0n)
}
