import { concatBytes } from '../../base/bytes.ts'
import type { GetFilesPartFields } from '../../base/download-messages.ts'
import { tarEnd, tarHeaders, tarPaddingBytes } from '../../base/tar.ts'
import { getFiles } from '../../client/file-transfers.ts'
import { FileType } from '../../gen/pfs_pb.ts'
import type { CommandContext } from '../command.ts'
import { pfsClient } from '../pfs-client.ts'
import { Progress } from '../printing/progress.ts'
import { checkLocalName } from './local-names.ts'
import { relativePath, type Selection } from './selection.ts'

/**
 * Prints what is selected, directories with all that is in them, as an archive: entries in tree order,
 * all with the time at which the commit finished, so that equal commits give equal archives but for
 * that time. Holds one message.
 */
export async function writeTar(context: CommandContext, selection: Selection): Promise<void> {
  const { transport, out } = context
  const { commit, wanted } = selection
  const modifiedSeconds = await commitSeconds(context, selection)
  const progress = new Progress(context, 'got')
  const { entry } = selection
  if (entry !== undefined) {
    progress.expect({ ...entry, fileCount: entry.fileType === FileType.FILE ? 1 : entry.fileCount })
  }
  let sizeBytes = 0
  for await (const { parts } of getFiles(transport, { commit, ...wanted, recursive: true })) {
    const pieces: Uint8Array[] = []
    for (const part of parts) {
      // Only the first part of a file says what it is.
      if (part.fileType !== 0) {
        sizeBytes = part.sizeBytes
        pieces.push(...headersOf(part, selection, modifiedSeconds))
      }
      if (part.fileType === FileType.DIR) continue
      pieces.push(...part.value)
      for (const slice of part.value) progress.addBytes(slice.length)
      if (part.more) continue
      pieces.push(new Uint8Array(tarPaddingBytes(sizeBytes)))
      progress.addFile()
    }
    await out.write(concatBytes(pieces))
  }
  await out.write(tarEnd)
  await progress.end()
}

/** Nothing for the directory that the archive is of. */
function headersOf(
  { path, fileType, sizeBytes }: GetFilesPartFields,
  { base }: Selection,
  modifiedSeconds: number,
): readonly Uint8Array[] {
  const local = relativePath(path, base)
  const kind = fileType === FileType.DIR ? 'directory' : 'file'
  if (local === '' && kind === 'directory') return []
  // A single file is called as it is in its directory.
  const name = local === '' ? path.slice(path.lastIndexOf('/') + 1) : local
  for (const one of name.split('/')) checkLocalName(one, 'linux')
  return [tarHeaders({ name, kind, sizeBytes, modifiedSeconds })]
}

async function commitSeconds(
  context: CommandContext,
  { commit: { repo, id } }: Selection,
): Promise<number> {
  const info = await pfsClient(context).inspectCommit({ commit: { repo: { name: repo }, id } })
  return Number((info.finished ?? info.started)?.seconds ?? 0)
}
