import type { ByteStream } from '../../base/bytes.ts'
import { hexText } from '../../base/bytes.ts'
import { NotFoundError } from '../../base/errors.ts'
import type { Address } from '../../client/address.ts'
import { type Client, createClient } from '../../client/client.ts'
import { readFile } from '../../client/file-transfers.ts'
import type { Transport } from '../../client/transport.ts'
import { Files } from '../../gen/pachyderm_pb.ts'
import { API, type CommitInfo, type FileInfo, FileType } from '../../gen/pfs_pb.ts'
import { OwnContents } from './own-contents.ts'
import type { Peer, PeerCommit, PeerContents, PeerEntry } from './peer.ts'
import { isAbsent, PeerErrors } from './peer-calls.ts'
import { askedPath, compareNames, pathInDirectory } from './peer-paths.ts'

const microsPerSecond = 1_000_000
const nanosPerMicro = 1000

/** A server of 1.4 or 1.5, or one of ours, which lists directories of any length. */
export class ModernPeer implements Peer {
  readonly address: string
  readonly hasNumberedCommits = false
  readonly #transport: Transport
  readonly #pfs: Client<typeof API>
  readonly #files: Client<typeof Files> | undefined
  readonly #errors: PeerErrors
  readonly contentsOf?: (commit: PeerCommit) => PeerContents

  constructor(transport: Transport, address: Address, isOurs: boolean) {
    this.#errors = new PeerErrors(address)
    this.address = this.#errors.address
    this.#transport = transport
    this.#pfs = createClient(API, transport)
    this.#files = isOurs ? createClient(Files, transport) : undefined
    if (isOurs) this.contentsOf = (commit) => new OwnContents(transport, this.#errors, commit)
  }

  async commit(repo: string, name: string, signal: AbortSignal): Promise<PeerCommit | undefined> {
    const commit = { repo: { name: repo }, id: name }
    try {
      const info = await this.#errors.call(() => this.#pfs.inspectCommit({ commit }, { signal }))
      return commitOf(repo, info)
    } catch (error) {
      if (!isAbsent(error)) throw error
      return undefined
    }
  }

  async *line({ repo: name, id }: PeerCommit, signal: AbortSignal): AsyncGenerator<PeerCommit> {
    const repo = { name }
    const request = { repo, to: { repo, id } }
    const answer = await this.#errors.call(() => this.#pfs.listCommit(request, { signal }))
    for (const info of answer.commitInfo) yield commitOf(name, info)
  }

  async inspect(
    commit: PeerCommit,
    path: string,
    signal: AbortSignal,
  ): Promise<PeerEntry | undefined> {
    const file = fileOf(commit, path)
    try {
      const info = await this.#errors.call(() => this.#pfs.inspectFile({ file }, { signal }))
      return entryOf(info, path)
    } catch (error) {
      if (!isAbsent(error)) throw error
      return undefined
    }
  }

  async *list(commit: PeerCommit, path: string, signal: AbortSignal): AsyncGenerator<PeerEntry> {
    for await (const infos of this.#infos(commit, path, signal)) {
      for (const info of infos) {
        yield entryOf(info, pathInDirectory(this.address, path, info.file?.path ?? ''))
      }
    }
  }

  read(commit: PeerCommit, path: string, offsetBytes: number, signal: AbortSignal): ByteStream {
    const file = { commit: { repo: commit.repo, id: commit.id }, path }
    return this.#errors.stream(readFile(this.#transport, file, { offsetBytes, signal }))
  }

  async *#infos(
    commit: PeerCommit,
    path: string,
    signal: AbortSignal,
  ): AsyncGenerator<readonly FileInfo[]> {
    const file = fileOf(commit, askedPath(path))
    const files = this.#files
    if (files === undefined) {
      const answer = await this.#errors.call(() => this.#pfs.listFile({ file }, { signal }))
      yield answer.fileInfo.toSorted((left, right) =>
        compareNames(left.file?.path, right.file?.path),
      )
      return
    }
    const batches = this.#errors.stream(files.listFiles({ file }, { signal }))
    for await (const batch of batches) yield batch.fileInfo
  }
}

function fileOf({ repo: name, id }: PeerCommit, path: string) {
  return { commit: { repo: { name }, id }, path }
}

function commitOf(repo: string, info: CommitInfo): PeerCommit {
  const id = info.commit?.id ?? ''
  if (id === '') throw new NotFoundError(`a commit of ${repo} has no id there`)
  const { started } = info
  return {
    repo,
    id,
    parent: info.parentCommit?.id,
    isFinished: info.finished !== undefined,
    startedAt:
      started === undefined
        ? 0
        : Number(started.seconds) * microsPerSecond + Math.floor(started.nanos / nanosPerMicro),
  }
}

function entryOf(info: FileInfo, path: string): PeerEntry {
  return {
    kind: info.fileType === FileType.DIR ? 'directory' : 'file',
    path,
    sizeBytes: Number(info.sizeBytes),
    version: info.hash.length === 0 ? undefined : hexText(info.hash),
  }
}
