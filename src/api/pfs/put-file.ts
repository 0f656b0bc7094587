import type { ByteStream } from '../../base/bytes.ts'
import {
  decodePutFileRequest,
  putFileValueScanner,
  type Slices,
} from '../../base/content-messages.ts'
import type { IncomingMessage } from '../../base/grpc-messages.ts'
import type { API } from '../../gen/pfs_pb.ts'
import type { SourcePuts } from '../../sources/source-puts.ts'
import type { Versioning } from '../../versioning/versioning.ts'
import type { ServiceHandlers } from '../grpc/service.ts'
import { requireFileRef } from './names.ts'
import { splitOf } from './split-fields.ts'

/**
 * PutFile: the first message says where the bytes go; of the others only `value` counts. The bytes
 * pass in the pieces they arrive in. A stream without any message does nothing. With a URL there, the
 * bytes come from that, and those of the messages are not used.
 */
export function putFileHandlers(
  { writes }: Versioning,
  sourcePuts: Pick<SourcePuts, 'put'>,
): ServiceHandlers<typeof API> {
  return {
    putFile: {
      async sliced(requests, { signal }) {
        const messages = requests[Symbol.asyncIterator]()
        const first = await messages.next()
        if (first.done === true) return {}
        const fields = decodePutFileRequest(await first.value.parts())
        const file = requireFileRef(fields.file)
        const split = splitOf(fields)
        const { overwrite, url, recursive: isRecursive } = fields
        if (url !== '') {
          for await (const message of { [Symbol.asyncIterator]: () => messages }) void message
          const sources = [{ url, path: file.path, addsOwnName: false }]
          const how = { split, isRecursive, overwrite, parallelism: 0, resumes: undefined }
          await sourcePuts.put({ ...file, sources, ...how }, { signal })
          return {}
        }
        const values = valuesOf(fields.value, messages)
        if (split === undefined) {
          await writes.put(file, values, { overwrite, signal })
        } else {
          await using writer = await writes.bulk(file.repo, file.commit, { split, signal })
          await writer.put(file.path, values, { overwrite })
          await writer.commit()
        }
        return {}
      },
    },
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
