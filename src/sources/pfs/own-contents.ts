import { hexBytes, hexText } from '../../base/bytes.ts'
import { UnavailableError } from '../../base/errors.ts'
import { type Client, createClient } from '../../client/client.ts'
import { readChunks } from '../../client/file-transfers.ts'
import type { Transport } from '../../client/transport.ts'
import { type FileContent, Files } from '../../gen/pachyderm_pb.ts'
import type { ChunkId } from '../../storage/chunks.ts'
import { chunkFormat } from '../../storage/offered-contents.ts'
import { isWithinNames } from './peer-paths.ts'
import type { OfferedFile, PeerCommit, PeerContents } from './peer.ts'
import type { PeerErrors } from './peer-calls.ts'

const idBytes = 32

/** The contents of a commit of another server of ours, by the names of their chunks. */
export class OwnContents implements PeerContents {
  readonly #transport: Transport
  readonly #files: Client<typeof Files>
  readonly #errors: PeerErrors
  readonly #commit: Pick<PeerCommit, 'repo' | 'id'>

  constructor(transport: Transport, errors: PeerErrors, commit: Pick<PeerCommit, 'repo' | 'id'>) {
    this.#transport = transport
    this.#files = createClient(Files, transport)
    this.#errors = errors
    this.#commit = commit
  }

  async *offers(
    path: string,
    signal: AbortSignal,
  ): AsyncGenerator<readonly OfferedFile[] | undefined> {
    const { repo: name, id } = this.#commit
    const file = { commit: { repo: { name }, id }, path }
    let isFirst = true
    const batches = this.#errors.stream(this.#files.listContents({ file }, { signal }))
    for await (const batch of batches) {
      if (isFirst && batch.chunkFormat !== chunkFormat) {
        yield undefined
        return
      }
      isFirst = false
      yield batch.files.map((message) => this.#offer(message))
    }
  }

  async *fetch(ids: readonly ChunkId[], signal: AbortSignal): AsyncGenerator<Uint8Array> {
    const { repo, id } = this.#commit
    for (let from = 0; from < ids.length; from += idsAtOnce) {
      const wanted = ids.slice(from, from + idsAtOnce).map(hexBytes)
      yield* this.#errors.stream(readChunks(this.#transport, { repo, id }, wanted, { signal }))
    }
  }

  #offer({ path, sizeBytes, content }: FileContent): OfferedFile {
    if (path !== '' && !isWithinNames(path))
      throw this.#untrue(`the path ${JSON.stringify(path.slice(0, 200))}`)
    const size = Number(sizeBytes)
    switch (content.case) {
      case 'inline':
        return { path, content: { kind: 'inline', bytes: content.value } }
      case 'chunk':
        return { path, content: { kind: 'chunk', chunk: this.#id(content.value), sizeBytes: size } }
      case 'list':
        return { path, content: { kind: 'list', root: this.#id(content.value), sizeBytes: size } }
      case undefined:
        throw this.#untrue('a file without a content')
    }
  }

  #id(bytes: Uint8Array): ChunkId {
    if (bytes.length !== idBytes) throw this.#untrue(`a chunk's name of ${bytes.length} bytes`)
    return hexText(bytes) as ChunkId
  }

  #untrue(what: string): UnavailableError {
    return new UnavailableError(`pachd at ${this.#errors.address} answers with ${what}`)
  }
}

const idsAtOnce = 1000
