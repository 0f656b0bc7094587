import type { MessageInitShape } from '@bufbuild/protobuf'
import { copyBytes, hexBytes, hexText } from '../../base/bytes.ts'
import { encodeBytesValue } from '../../base/content-messages.ts'
import { InvalidArgumentError, NotFoundError } from '../../base/errors.ts'
import type { EncodedMessage } from '../../base/grpc-wire.ts'
import type { FileContentSchema, Files } from '../../gen/pachyderm_pb.ts'
import type { ChunkHolder, ChunkId, ChunkLender, LentChunk } from '../../storage/chunks.ts'
import { type Content, contentSizeBytes } from '../../storage/contents.ts'
import type { Leases } from '../../storage/leases.ts'
import { lentAhead } from '../../storage/lent-ahead.ts'
import { NamedChunks } from '../../storage/named-chunks.ts'
import type { TreeRoot } from '../../storage/tree-entries.ts'
import { chunkFormat } from '../../storage/offered-contents.ts'
import type { FileName } from '../../versioning/files.ts'
import type { Versioning } from '../../versioning/versioning.ts'
import type { ServiceHandlers } from '../grpc/service.ts'
import { requireCommit, requireFile } from '../pfs/names.ts'

type FileContentInit = MessageInitShape<typeof FileContentSchema>

export interface ContentsPorts {
  readonly chunks: ChunkHolder & ChunkLender
  readonly leases: Leases
}

const idBytes = 32
const batchFilesMax = 2000
const batchBytesMax = 1024 * 1024
/** Larger chunks may have memory that is lent. */
const joinedBytesMax = 128 * 1024

/** ListContents and GetChunks: what another server needs to get no byte that it has. */
export function contentsHandlers(
  { files, commits }: Versioning,
  ports: ContentsPorts,
): ServiceHandlers<typeof Files> {
  const named = new NamedChunks(ports.chunks)
  return {
    async *listContents({ file: name }, { signal }) {
      const file = requireFile(name)
      // All of one commit, though a branch may move.
      const { id: commit } = await commits.inspect(file.repo, file.commit)
      let batch: FileContentInit[] = []
      yield { chunkFormat, files: [] }
      let top: string | undefined
      for await (const { path, entry } of files.walk({ ...file, commit }, signal)) {
        top ??= path
        if (entry.kind === 'directory') continue
        named.note(commit, entry.content)
        batch.push(contentMessage(path.slice(top.length), entry.content))
        if (batch.length < batchFilesMax) continue
        yield { files: batch }
        batch = []
      }
      if (batch.length > 0) yield { files: batch }
    },

    getChunks: {
      async *encoded({ commit: name, ids }, { signal }) {
        const { repo, commit } = requireCommit(name)
        const { id } = await commits.inspect(repo, commit)
        const root = async () => await rootOf(files, { repo, commit: id, path: '' }, signal)
        // What is there stays until it has been read.
        using _ = ports.leases.begin()
        const wanted = ids.map(parseId)
        const found = await named.find(id, wanted, { root, signal })
        const lend = async (chunk: ChunkId): Promise<LentChunk> => {
          signal.throwIfAborted()
          const known = found.get(chunk)
          if (known === undefined || !(await ports.chunks.holds(chunk))) {
            throw new NotFoundError(`chunk ${chunk} not found in commit ${repo}/${id}`)
          }
          const lent = await ports.chunks.lend(chunk)
          named.noteBelow(id, known, lent.bytes)
          return lent
        }
        yield* chunkBatches(lentAhead(wanted, lend))
      },
    },
  }
}

async function rootOf(
  files: Versioning['files'],
  file: FileName,
  signal: AbortSignal,
): Promise<TreeRoot> {
  for await (const { entry } of files.walk(file, signal)) {
    if (entry.kind === 'directory') return entry.root
  }
  throw new NotFoundError(`commit ${file.repo}/${file.commit} has no root`)
}

function contentMessage(path: string, content: Content): FileContentInit {
  const sizeBytes = BigInt(contentSizeBytes(content))
  switch (content.kind) {
    case 'inline':
      return { path, sizeBytes, content: { case: 'inline', value: content.bytes } }
    case 'chunk':
      return { path, sizeBytes, content: { case: 'chunk', value: hexBytes(content.chunk) } }
    case 'list':
      return { path, sizeBytes, content: { case: 'list', value: hexBytes(content.root) } }
  }
}

function parseId(bytes: Uint8Array): ChunkId {
  if (bytes.length === idBytes) return hexText(bytes) as ChunkId
  throw new InvalidArgumentError(`a chunk's name has ${idBytes} bytes, not ${bytes.length}`)
}

/** pachyderm.ChunksBatch messages: small chunks together, a large one alone and uncopied. */
async function* chunkBatches(
  chunks: AsyncIterable<readonly [ChunkId, LentChunk]>,
): AsyncGenerator<EncodedMessage> {
  let batch: Uint8Array[] = []
  let size = 0
  for await (const [, lent] of chunks) {
    const { bytes } = lent
    if (size > 0 && size + bytes.length > batchBytesMax) {
      yield batch
      batch = []
      size = 0
    }
    if (bytes.length <= joinedBytesMax) {
      batch.push(...encodeBytesValue([copyBytes(bytes)]))
      size += bytes.length
      lent.giveBack()
      continue
    }
    let isDone = false
    try {
      yield [...batch, ...encodeBytesValue([bytes])]
      isDone = true
    } finally {
      // Whoever stopped may still be sending it.
      if (isDone) lent.giveBack()
      else lent.giveUp()
    }
    batch = []
    size = 0
  }
  if (size > 0) yield batch
}
