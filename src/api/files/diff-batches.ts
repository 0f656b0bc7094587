import { create, toBinary } from '@bufbuild/protobuf'
import type { EncodedMessage } from '../../base/grpc-wire.ts'
import { DiffKind, FileDiffsBatchSchema } from '../../gen/pachyderm_pb.ts'
import type { FileDiffSides } from '../pfs/file-diff.ts'

/** A batch ends with the difference that brings it within one difference's size of 1 MiB. */
const batchBytes = 1024 * 1024 - 32 * 1024

/** pachyderm.FileDiffsBatch messages of at most 1 MiB, none of them empty. */
export async function* diffBatches(
  differences: AsyncIterable<FileDiffSides>,
): AsyncGenerator<EncodedMessage> {
  let batch: Uint8Array[] = []
  let sizeBytes = 0
  for await (const sides of differences) {
    const encoded = encodeDiff(sides)
    batch.push(encoded)
    sizeBytes += encoded.length
    if (sizeBytes < batchBytes) continue
    yield batch
    batch = []
    sizeBytes = 0
  }
  if (batch.length > 0) yield batch
}

/** A batch of one; batches, joined, are one batch. */
function encodeDiff({ before, after }: FileDiffSides): Uint8Array {
  const diff = {
    kind: kindOf(before !== undefined, after !== undefined),
    ...(before !== undefined && { oldFile: before }),
    ...(after !== undefined && { newFile: after }),
  }
  return toBinary(FileDiffsBatchSchema, create(FileDiffsBatchSchema, { diffs: [diff] }))
}

function kindOf(isBefore: boolean, isAfter: boolean): DiffKind {
  if (!isBefore) return DiffKind.ADDED
  return isAfter ? DiffKind.CHANGED : DiffKind.REMOVED
}
