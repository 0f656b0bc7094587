import type { ByteStream } from '../../base/bytes.ts'
import type { Address } from '../../client/address.ts'
import { readFile } from '../../client/file-transfers.ts'
import type { Transport } from '../../client/transport.ts'
import {
  decodeCommitInfo,
  decodeFileInfo,
  decodeFileInfos,
  encodeCommitRequest,
  encodeFileRequest,
  type NumberedCommitInfo,
  type NumberedFileInfo,
} from './numbered-messages.ts'
import type { Peer, PeerCommit, PeerEntry } from './peer.ts'
import { isAbsent, PeerErrors } from './peer-calls.ts'
import { askedPath, compareNames, pathInDirectory } from './peer-paths.ts'

const directoryType = 2
const microsPerSecond = 1_000_000
const nanosPerMicro = 1000

/**
 * A server of 1.3, up to 1.3.18. It has no record of the root directory, answers a request for the bytes of
 * a file that is missing with none, and has no names for contents: when and in which commit a file was
 * changed says whether it is the same.
 */
export class NumberedPeer implements Peer {
  readonly address: string
  readonly hasNumberedCommits = true
  readonly #transport: Transport
  readonly #errors: PeerErrors

  constructor(transport: Transport, address: Address) {
    this.#errors = new PeerErrors(address)
    this.address = this.#errors.address
    this.#transport = transport
  }

  async commit(repo: string, name: string, signal: AbortSignal): Promise<PeerCommit | undefined> {
    const request = encodeCommitRequest({ repo, id: name })
    const answer = await this.#ask('/pfs.API/InspectCommit', request, signal)
    return answer === undefined ? undefined : commitOf(repo, decodeCommitInfo(answer))
  }

  async *line(commit: PeerCommit, signal: AbortSignal): AsyncGenerator<PeerCommit> {
    for (let next: PeerCommit | undefined = commit; next !== undefined;) {
      yield next
      next =
        next.parent === undefined ? undefined : await this.commit(next.repo, next.parent, signal)
    }
  }

  async inspect(
    commit: PeerCommit,
    path: string,
    signal: AbortSignal,
  ): Promise<PeerEntry | undefined> {
    const request = encodeFileRequest({ commit, path })
    const answer = await this.#ask('/pfs.API/InspectFile', request, signal)
    return answer === undefined ? undefined : entryOf(decodeFileInfo(answer), path)
  }

  async *list(commit: PeerCommit, path: string, signal: AbortSignal): AsyncGenerator<PeerEntry> {
    const request = encodeFileRequest({ commit, path: askedPath(path) })
    const answer = await this.#errors.call(() =>
      this.#transport.unary('/pfs.API/ListFile', request, { signal }),
    )
    const infos = decodeFileInfos(answer)
    for (const info of infos.toSorted((a, b) => compareNames(a.file?.path, b.file?.path))) {
      yield entryOf(info, pathInDirectory(this.address, path, info.file?.path ?? ''))
    }
  }

  read(
    { repo, id }: PeerCommit,
    path: string,
    offsetBytes: number,
    signal: AbortSignal,
  ): ByteStream {
    const file = { commit: { repo, id }, path }
    return this.#errors.stream(readFile(this.#transport, file, { offsetBytes, signal }))
  }

  /** Undefined when what is asked for is not there. */
  async #ask(
    method: string,
    request: readonly Uint8Array[],
    signal: AbortSignal,
  ): Promise<Uint8Array | undefined> {
    try {
      return await this.#errors.call(() => this.#transport.unary(method, request, { signal }))
    } catch (error) {
      if (!isAbsent(error)) throw error
      return undefined
    }
  }
}

function commitOf(repo: string, info: NumberedCommitInfo): PeerCommit {
  const { commit, parent, started, finished, cancelled } = info
  return {
    repo,
    id: commit?.id ?? '',
    parent: parent?.id,
    isFinished: finished !== undefined && !cancelled,
    startedAt:
      started === undefined
        ? 0
        : Number(started.seconds) * microsPerSecond + Math.floor(started.nanos / nanosPerMicro),
  }
}

function entryOf(info: NumberedFileInfo, path: string): PeerEntry {
  const { modified, commitModified, sizeBytes } = info
  const kind = info.fileType === directoryType ? 'directory' : 'file'
  // What happens within a directory does not change it.
  const version =
    kind === 'directory' || modified === undefined || commitModified === undefined
      ? undefined
      : `${commitModified.id} ${modified.seconds}.${modified.nanos} ${sizeBytes}`
  return {
    kind,
    path,
    sizeBytes: Number(sizeBytes),
    version,
  }
}
