import type { ByteStream } from '../../base/bytes.ts'
import {
  decodePutFileRequest,
  putFileValueScanner,
  type PutFileFields,
  type Slices,
} from '../../base/content-messages.ts'
import { UnimplementedError } from '../../base/errors.ts'
import type { IncomingMessage } from '../../base/grpc-messages.ts'
import type { API } from '../../gen/pfs_pb.ts'
import type { Versioning } from '../../versioning/versioning.ts'
import type { ServiceHandlers } from '../grpc/service.ts'
import { requireFileRef } from './names.ts'
import { splitOf } from './split-fields.ts'

/**
 * PutFile: the first message says where the bytes go; of the others only `value` counts. The bytes
 * pass in the pieces they arrive in. A stream without any message does nothing.
 */
export function putFileHandlers({ writes }: Versioning): ServiceHandlers<typeof API> {
  return {
    putFile: {
      async sliced(requests, { signal }) {
        const messages = requests[Symbol.asyncIterator]()
        const first = await messages.next()
        if (first.done === true) return {}
        const fields = decodePutFileRequest(await first.value.parts())
        const file = requireFileRef(fields.file)
        refuseUnsupported(fields)
        const split = splitOf(fields)
        const { overwrite } = fields
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

function refuseUnsupported({ url }: PutFileFields): void {
  if (url !== '') {
    throw new UnimplementedError(
      `cannot put from ${JSON.stringify(url.slice(0, 200))}: this server does not fetch URLs yet; send the bytes instead`,
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
