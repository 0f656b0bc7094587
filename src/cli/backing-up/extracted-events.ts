import { hexBytes } from '../../base/bytes.ts'
import { UnavailableError } from '../../base/errors.ts'
import type { ExtractEvent, KnownObjects } from '../../backups/extraction.ts'
import {
  decodeSnapshot,
  encodePieces,
  objectBytesMax,
  snapshotOfKey,
} from '../../backups/format.ts'
import type { ExtractRequest, ExtractResponse } from '../../gen/pachyderm_pb.ts'

/** A request may have 20 MiB: what is beyond comes once more, and is there already. */
const knownPacksMax = 500_000
const knownPiecesMax = 200_000

/** What is here already, as fields of a request. */
export function knownFields({
  packs,
  metadata,
}: KnownObjects): Pick<ExtractRequest, 'knownPacks' | 'knownMetadataPacks' | 'knownPieces'> {
  const names = [...packs].slice(0, knownPacksMax)
  const isSmall = metadata !== undefined && metadata.pieces.length <= knownPiecesMax
  return {
    knownPacks: Buffer.concat(names.map((name) => hexBytes(name))),
    knownMetadataPacks: Buffer.concat(isSmall ? metadata.packs.map(packRow) : []),
    knownPieces: isSmall ? encodePieces(metadata.pieces) : new Uint8Array(0),
  }
}

function packRow(pack: NonNullable<KnownObjects['metadata']>['packs'][number]): Buffer {
  const row = Buffer.alloc(48)
  row.set(hexBytes(pack.name))
  row.writeBigUInt64LE(BigInt(pack.sizeBytes), 32)
  row.writeBigUInt64LE(BigInt(pack.chunkCount), 40)
  return row
}

/** What a server sends, with each object as a whole. */
export async function* extractedEvents(
  responses: AsyncIterable<ExtractResponse>,
): AsyncGenerator<ExtractEvent> {
  let key = ''
  let bytes = Buffer.alloc(0)
  let filled = 0
  for await (const { event } of responses) {
    switch (event.case) {
      case 'object': {
        const size = Number(event.value.sizeBytes)
        if (filled < bytes.length || !(size >= 1 && size <= objectBytesMax)) throw cutShort()
        ;({ key } = event.value)
        bytes = Buffer.allocUnsafeSlow(size)
        filled = 0
        break
      }
      case 'data':
        if (filled + event.value.length > bytes.length) throw cutShort()
        bytes.set(event.value, filled)
        filled += event.value.length
        if (filled === bytes.length) yield objectEvent(key, bytes)
        break
      case 'progress':
        yield {
          kind: 'progress',
          packsDone: Number(event.value.packsDone),
          packsTotal: Number(event.value.packsTotal),
        }
        break
      case 'damage':
        yield { kind: 'damage', what: event.value }
        break
      case 'end':
      case 'other':
      case undefined:
    }
  }
}

function objectEvent(key: string, bytes: Uint8Array): ExtractEvent {
  const name = snapshotOfKey(key)
  if (name === undefined) return { kind: 'object', key, bytes }
  return { kind: 'snapshot', name, key, bytes, snapshot: decodeSnapshot(name, bytes) }
}

function cutShort(): UnavailableError {
  return new UnavailableError('the server sends objects that are not as long as it says')
}
