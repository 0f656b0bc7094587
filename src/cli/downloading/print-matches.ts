import { getFiles } from '../../client/file-transfers.ts'
import { FileType } from '../../gen/pfs_pb.ts'
import type { CommandContext } from '../command.ts'
import type { Selection } from './selection.ts'

/** Prints the files that match, one after another, as `cat` would. Directories are left out and told. */
export async function printMatches(
  { transport, out, err }: CommandContext,
  { commit, wanted }: Selection,
): Promise<void> {
  let leftOutCount = 0
  for await (const { parts } of getFiles(transport, { commit, ...wanted })) {
    for (const { fileType, value } of parts) {
      if (fileType === FileType.DIR) leftOutCount += 1
      else for (const slice of value) await out.write(slice)
    }
  }
  if (leftOutCount === 0) return
  const what = leftOutCount === 1 ? 'a directory' : `${leftOutCount} directories`
  await err.line(`left out: ${what}; to store what is in it, use -r and -o`)
}
