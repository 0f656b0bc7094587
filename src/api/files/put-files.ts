import { concatBytes } from '../../base/bytes.ts'
import {
  decodePutFilesRequest,
  type PutFilesFields,
  type PutFilesPartFields,
} from '../../base/content-messages.ts'
import { InvalidArgumentError } from '../../base/errors.ts'
import type { CommitRef } from '../../base/file-refs.ts'
import type { IncomingMessage } from '../../base/grpc-messages.ts'
import type { Files } from '../../gen/pachyderm_pb.ts'
import type { BulkWriter } from '../../versioning/writes.ts'
import type { Versioning } from '../../versioning/versioning.ts'
import type { ServiceHandlers } from '../grpc/service.ts'
import { requireText } from '../pfs/names.ts'
import { endingCommit } from './ended-commit.ts'
import { splitOf } from '../pfs/split-fields.ts'

/** PutFiles: many files with one acknowledgement, all of them or none, split or not. Holds one message. */
export function putFilesHandlers({ commits, writes }: Versioning): ServiceHandlers<typeof Files> {
  return {
    putFiles: {
      async sliced(requests, { signal }) {
        const parts = new PartReader(requests)
        const { commit: named, split, endsCommit = false } = await parts.target()
        const target = requireTarget(named)
        const put = async () => {
          const { repo, commit } = target
          await using writer = await writes.bulk(repo, commit, { split: splitOf(split), signal })
          for (;;) {
            const part = parts.inHand() ?? (await parts.next())
            if (part === undefined) return await writer.commit()
            const putting = putPart(writer, part, parts)
            if (putting !== undefined) await putting
          }
        }
        const done = await (endsCommit ? endingCommit(commits, target, put) : put())
        const { fileCount, sizeBytes } = done
        return {
          files: BigInt(fileCount),
          bytes: BigInt(sizeBytes),
          ...(endsCommit && { endedCommit: true }),
        }
      },
    },
  }
}

function putPart(
  writer: BulkWriter,
  part: PutFilesPartFields,
  parts: PartReader,
): Promise<void> | undefined {
  const { path, value, more, overwrite } = part
  const bytes = more ? parts.file(part) : concatBytes(value)
  return writer.put(path, bytes, { overwrite })
}

function requireTarget(commit: CommitRef | undefined): { repo: string; commit: string } {
  return {
    repo: requireText(commit?.repo, 'commit.repo.name', 'a repo name is needed'),
    commit: requireText(commit?.id, 'commit.id', 'a commit id or branch name is needed'),
  }
}

/** Takes a stream of messages apart. */
class PartReader {
  readonly #messages: AsyncIterator<IncomingMessage>
  #parts: readonly PutFilesPartFields[] = []
  #index = 0

  constructor(requests: AsyncIterable<IncomingMessage>) {
    this.#messages = requests[Symbol.asyncIterator]()
  }

  /** What the first message says about all files, before anything else is read. */
  async target(): Promise<Pick<PutFilesFields, 'commit' | 'split' | 'endsCommit'>> {
    const message = await this.#messages.next()
    if (message.done === true) return { commit: undefined }
    const { parts, ...target } = decodePutFilesRequest(await message.value.parts())
    this.#parts = parts
    return target
  }

  /** The next part of a message that has come; undefined at its end. */
  inHand(): PutFilesPartFields | undefined {
    const part = this.#parts[this.#index]
    if (part !== undefined) this.#index += 1
    return part
  }

  /** Undefined at the end of all messages. */
  async next(): Promise<PutFilesPartFields | undefined> {
    for (;;) {
      const part = this.inHand()
      if (part !== undefined) return part
      const message = await this.#messages.next()
      if (message.done === true) return undefined
      this.#parts = decodePutFilesRequest(await message.value.parts()).parts
      this.#index = 0
    }
  }

  /** The bytes of a file from its first part to its last. */
  async *file(first: PutFilesPartFields): AsyncGenerator<Uint8Array> {
    for (let part = first; ;) {
      yield* part.value
      if (!part.more) return
      const next = await this.next()
      if (next === undefined || next.path !== first.path) {
        throw new InvalidArgumentError(
          `the upload ${next === undefined ? 'ends' : 'goes on with another file'} where more of ${JSON.stringify(first.path)} was announced`,
        )
      }
      part = next
    }
  }
}
