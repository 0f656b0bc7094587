import type { CommandContext } from '../command.ts'
import { type FileInfo, FileInfoSchema, FileType } from '../../gen/pfs_pb.ts'
import { rawText } from '../printing/json.ts'
import { sizeText } from '../../base/sizes.ts'
import { Table } from '../printing/table.ts'
import { filesClient, streamOrElse } from '../own-clients.ts'
import { pfsClient } from '../pfs-client.ts'
import { visible } from '../printing/visible.ts'

export async function inspectFile(context: CommandContext): Promise<void> {
  const { args, flags, out } = context
  const [repo = '', commit = '', path = ''] = args
  const info = await pfsClient(context).inspectFile({ file: fileOf(repo, commit, path) })
  await out.write(flags.isOn('raw') ? rawText(FileInfoSchema, info) : detailText(info))
}

function detailText(info: FileInfo): string {
  const { file, sizeBytes, children } = info
  let text = `Path: ${visible(file?.path ?? '')}\nType: ${typeText(info)}\nSize: ${sizeText(sizeBytes)}\n`
  if (children.length > 0)
    text += `Children: ${children.map((name) => ` ${visible(name)} `).join('')} \n`
  return text
}

function typeText({ fileType }: FileInfo): string {
  return fileType === FileType.FILE ? 'file' : 'dir'
}

export function fileOf(
  repo: string,
  commit: string,
  path: string,
): { readonly commit: { repo: { name: string }; id: string }; readonly path: string } {
  return { commit: { repo: { name: repo }, id: commit }, path }
}

export async function listFile(context: CommandContext): Promise<void> {
  const [repo = '', commit = '', path = ''] = context.args
  const file = fileOf(repo, commit, path)
  const batches = filesClient(context).listFiles({ file })
  await printBatches(
    streamOrElse<Batch>(batches, () => pfsClient(context).listFile({ file })),
    context,
  )
}

export async function globFile(context: CommandContext): Promise<void> {
  const [name = '', id = '', pattern = ''] = context.args
  const request = { commit: { repo: { name }, id }, pattern }
  const batches = filesClient(context).globFiles(request)
  await printBatches(
    streamOrElse<Batch>(batches, () => pfsClient(context).globFile(request)),
    context,
  )
}

interface Batch {
  readonly fileInfo: readonly FileInfo[]
}

/** Prints each batch when it comes, so that a huge list shows at once. */
async function printBatches(
  batches: AsyncIterable<Batch>,
  { flags, out }: CommandContext,
): Promise<void> {
  const isRaw = flags.isOn('raw')
  const table = new Table(out)
  table.add('NAME', 'TYPE', 'SIZE')
  for await (const { fileInfo } of batches) {
    if (isRaw) await out.write(fileInfo.map((info) => rawText(FileInfoSchema, info)).join(''))
    else {
      for (const info of fileInfo) addRow(table, info)
      await table.flush()
    }
  }
  if (!isRaw) await table.flush()
}

export function addRow(table: Table, info: FileInfo): void {
  table.add(info.file?.path ?? '', typeText(info), sizeText(info.sizeBytes))
}

export async function deleteFile(context: CommandContext): Promise<void> {
  const [repo = '', commit = '', path = ''] = context.args
  await pfsClient(context).deleteFile({ file: fileOf(repo, commit, path) })
}
