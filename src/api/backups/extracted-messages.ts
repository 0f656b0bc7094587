import type { MessageInitShape } from '@bufbuild/protobuf'
import { hexText } from '../../base/bytes.ts'
import type { ExtractEvent, KnownObjects } from '../../backups/extraction.ts'
import { type BackedUpPack, decodePieces } from '../../backups/format.ts'
import type { NamedPlace, StoreBackups } from '../../backups/store-backups.ts'
import type { TakenBackup } from '../../backups/taking.ts'
import type { ExtractRequest, ExtractResponseSchema } from '../../gen/pachyderm_pb.ts'
import { snapshotMessage } from './backup-messages.ts'

/** Objects travel in messages of so many bytes. */
const dataBytes = 1024 * 1024

type Response = MessageInitShape<typeof ExtractResponseSchema>

/** What an extraction tells, as messages: each object in several. */
export function* extractedMessages(event: ExtractEvent): Generator<Response> {
  switch (event.kind) {
    case 'object':
      yield* objectMessages(event)
      break
    case 'snapshot': {
      yield* objectMessages(event)
      const { name, snapshot } = event
      yield { event: { case: 'end', value: snapshotMessage(name, snapshot) } }
      break
    }
    case 'progress': {
      const { packsDone, packsTotal } = event
      const value = { packsDone: BigInt(packsDone), packsTotal: BigInt(packsTotal) }
      yield { event: { case: 'progress', value } }
      break
    }
    case 'damage':
      yield { event: { case: 'damage', value: event.what } }
  }
}

function* objectMessages({
  key,
  bytes,
}: {
  readonly key: string
  readonly bytes: Uint8Array
}): Generator<Response> {
  yield { event: { case: 'object', value: { key, sizeBytes: BigInt(bytes.length) } } }
  for (let at = 0; at < bytes.length; at += dataBytes) {
    yield { event: { case: 'data', value: bytes.subarray(at, at + dataBytes) } }
  }
}

/** A backup that the server writes by itself: what has happened since the last message, and the end. */
export async function* takenMessages(
  backups: StoreBackups,
  place: NamedPlace,
  options: Pick<
    Parameters<StoreBackups['take']>[1],
    'scope' | 'skipsDamaged' | 'repairs' | 'signal'
  >,
): AsyncGenerator<Response> {
  const waiting: Response[] = []
  let wake = Promise.withResolvers<void>()
  const tell = (response: Response): void => {
    // Of progress, the newest is enough.
    if (waiting.at(-1)?.event?.case === 'progress') waiting.pop()
    waiting.push(response)
    wake.resolve()
  }
  let taken: TakenBackup | undefined
  let failure: { readonly error: unknown } | undefined
  const taking = backups
    .take(place, {
      ...options,
      onDamage: (what) => tell({ event: { case: 'damage', value: what } }),
      onProgress: ({ packsDone, packsTotal, objectsWritten, bytesWritten }) =>
        tell({
          event: {
            case: 'progress',
            value: {
              packsDone: BigInt(packsDone),
              packsTotal: BigInt(packsTotal),
              objectsWritten: BigInt(objectsWritten),
              bytesWritten: BigInt(bytesWritten),
            },
          },
        }),
    })
    .then(
      (result) => {
        taken = result
      },
      (error: unknown) => {
        failure = { error }
      },
    )
    .finally(() => wake.resolve())
  for (;;) {
    await wake.promise
    wake = Promise.withResolvers()
    yield* waiting.splice(0)
    if (failure !== undefined) throw failure.error
    if (taken !== undefined) break
  }
  await taking
  const { other } = taken
  if (other !== undefined) {
    yield { event: { case: 'other', value: snapshotMessage(other.name, other.snapshot) } }
  }
  yield { event: { case: 'end', value: snapshotMessage(taken.name, taken.snapshot) } }
}

const nameBytes = 32
const metadataPackBytes = 48

/** What the caller has already. */
export function knownOf(request: ExtractRequest): KnownObjects {
  const packs = new Set<string>()
  for (const name of rowsOf(request.knownPacks, nameBytes)) packs.add(hexText(name))
  const metadataPacks: BackedUpPack[] = []
  for (const row of rowsOf(request.knownMetadataPacks, metadataPackBytes)) {
    const view = Buffer.from(row.buffer, row.byteOffset, row.length)
    metadataPacks.push({
      name: hexText(row.subarray(0, nameBytes)),
      sizeBytes: Number(view.readBigUInt64LE(nameBytes)),
      chunkCount: Number(view.readBigUInt64LE(nameBytes + 8)),
    })
  }
  const pieces = decodePieces(request.knownPieces)
  return { packs, metadata: { packs: metadataPacks, pieces } }
}

function* rowsOf(bytes: Uint8Array, size: number): Generator<Uint8Array> {
  for (let at = 0; at + size <= bytes.length; at += size) yield bytes.subarray(at, at + size)
}
