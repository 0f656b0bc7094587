import type { Found } from '../../base/check-run.ts'
import type { ChunkId } from '../chunks.ts'
import type { SealedPack } from '../packs/sealed-packs.ts'
import { storageFinding } from '../storage-findings.ts'

/** What is told of a damaged copy of a chunk that `whole` holds whole. */
export function damagedCopy(
  copy: { readonly id: ChunkId; readonly pack: string; readonly reason: string },
  whole: SealedPack,
): Found {
  const { id, pack, reason } = copy
  return {
    kind: storageFinding('chunk-copy-damaged'),
    subject: { pack, chunk: id },
    what: `${reason}; pack ${whole.name} has it whole`,
  }
}
