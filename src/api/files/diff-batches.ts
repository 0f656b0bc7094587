import { FileDiffsWriter, type FileDiffSides } from '../../base/file-info-messages.ts'
import type { EncodedMessage } from '../../base/grpc-wire.ts'
import { DiffKind } from '../../gen/pachyderm_pb.ts'
import type { FileComparison } from '../pfs/file-diff.ts'

/** A batch ends with the difference that brings it within one difference's size of 1 MiB. */
const batchBytes = 1024 * 1024 - 32 * 1024

/** pachyderm.FileDiffsBatch messages of at most 1 MiB, none of them empty. */
export async function* diffBatches({
  commits,
  differences,
}: FileComparison): AsyncGenerator<EncodedMessage> {
  const writer = new FileDiffsWriter(commits)
  for await (const batch of differences.batches) {
    for (const sides of batch) {
      writer.addDiff(kindOf(sides), sides)
      if (writer.sizeBytes >= batchBytes) yield writer.take()
    }
  }
  if (writer.sizeBytes > 0) yield writer.take()
}

function kindOf({ before, after }: FileDiffSides): DiffKind {
  if (before === undefined) return DiffKind.ADDED
  return after === undefined ? DiffKind.REMOVED : DiffKind.CHANGED
}
