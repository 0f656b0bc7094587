import type { ByteStream } from '../../base/bytes.ts'
import {
  decodePutFileRequest,
  putFileValueScanner,
  type PutFileFields,
  type Slices,
} from '../../base/content-messages.ts'
import { UnimplementedError } from '../../base/errors.ts'
import type { IncomingMessage } from '../../base/grpc-messages.ts'
import { Delimiter, type API } from '../../gen/pfs_pb.ts'
import type { SourcePuts } from '../../sources/source-puts.ts'
import type { Versioning } from '../../versioning/versioning.ts'
import type { ServiceHandlers } from '../grpc/service.ts'
import { requireFileRef } from './names.ts'

/**
 * PutFile: the first message says where the bytes go; of the others only `value` counts. The bytes
 * pass in the pieces they arrive in. A stream without any message does nothing. With a URL there, the
 * bytes come from that, and those of the messages are not used.
 */
export function putFileHandlers(
  { writes }: Versioning,
  sourcePuts: SourcePuts,
): ServiceHandlers<typeof API> {
  return {
    putFile: {
      async sliced(requests, { signal }) {
        const messages = requests[Symbol.asyncIterator]()
        const first = await messages.next()
        if (first.done === true) return {}
        const fields = decodePutFileRequest(await first.value.parts())
        const file = requireFileRef(fields.file)
        refuseSplit(fields)
        const { overwrite, url, recursive: isRecursive } = fields
        if (url !== '') {
          for await (const message of { [Symbol.asyncIterator]: () => messages }) void message
          const sources = [{ url, path: file.path, addsOwnName: false }]
          const request = {
            ...file,
            sources,
            isRecursive,
            overwrite,
            parallelism: 0,
            resumes: undefined,
          }
          await sourcePuts.put(request, { signal })
          return {}
        }
        await writes.put(file, valuesOf(fields.value, messages), { overwrite, signal })
        return {}
      },
    },
  }
}

const noDelimiter: number = Delimiter.NONE

function refuseSplit({ delimiter }: PutFileFields): void {
  if (delimiter !== noDelimiter) {
    throw new UnimplementedError(
      'cannot split: this server does not split files yet; send them one by one',
    )
  }
}

async function* valuesOf(
  firstValue: Slices,
  messages: AsyncIterator<IncomingMessage>,
): ByteStream & AsyncGenerator<Uint8Array> {
  yield* firstValue
  const scanner = putFileValueScanner()
  for (;;) {
    const message = await messages.next()
    if (message.done === true) return
    for await (const slice of message.value.slices()) yield* scanner.push(slice)
    scanner.end()
  }
}
