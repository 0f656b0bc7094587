import { getFiles } from '../../client/file-transfers.ts'
import { FileType } from '../../gen/pfs_pb.ts'
import type { CommandContext } from '../command.ts'
import { LeftOut } from './left-out.ts'
import type { Selection } from './selection.ts'

/** Prints the files that match, one after another, as `cat` would. Directories are left out and told. */
export async function printMatches(
  { transport, out, err }: CommandContext,
  { commit, wanted }: Selection,
): Promise<void> {
  const leftOut = new LeftOut('-r and -o')
  for await (const { parts } of getFiles(transport, { commit, ...wanted })) {
    for (const { path, fileType, value } of parts) {
      if (fileType === FileType.DIR) leftOut.add(path)
      else for (const slice of value) await out.write(slice)
    }
  }
  if (leftOut.text !== undefined) await err.line(leftOut.text)
}
