import type { MessageInitShape } from '@bufbuild/protobuf'
import type { Output } from '../../base/output.ts'
import type { DiffFilesRequestSchema } from '../../gen/pachyderm_pb.ts'
import type { FileInfo } from '../../gen/pfs_pb.ts'
import type { CommandContext } from '../command.ts'
import { filesClient, streamOrElse } from '../own-clients.ts'
import { pfsClient } from '../pfs-client.ts'
import { LaterText } from '../printing/later-text.ts'
import { Table } from '../printing/table.ts'
import { addRow, fileOf } from './files.ts'

export async function diffFile(context: CommandContext): Promise<void> {
  const { args, flags, out } = context
  const [newRepo = '', newCommit = '', newPath = '', oldRepo, oldCommit = '', oldPath = ''] = args
  const request = {
    newFile: fileOf(newRepo, newCommit, newPath),
    ...(oldRepo !== undefined && { oldFile: fileOf(oldRepo, oldCommit, oldPath) }),
    shallow: flags.isOn('shallow'),
  }
  const batches = streamOrElse<Differences>(differences(context, request), () =>
    pfsClient(context).diffFile(request),
  )
  // Both sides come by path, and the old one is printed below the new one.
  await using below = new LaterText()
  const newTable = new DiffTable(out, 'New Files:')
  const oldTable = new DiffTable(below, 'Old Files:')
  for await (const { newFiles, oldFiles } of batches) {
    await newTable.print(newFiles)
    await oldTable.print(oldFiles)
  }
  await below.printTo(out)
}

interface Differences {
  readonly newFiles: readonly FileInfo[]
  readonly oldFiles: readonly FileInfo[]
}

async function* differences(
  context: CommandContext,
  request: MessageInitShape<typeof DiffFilesRequestSchema>,
): AsyncGenerator<Differences> {
  for await (const { diffs } of filesClient(context).diffFiles(request)) {
    yield {
      newFiles: diffs.flatMap(({ newFile }) => newFile ?? []),
      oldFiles: diffs.flatMap(({ oldFile }) => oldFile ?? []),
    }
  }
}

/** Printed from its first row on; without rows, not at all. */
class DiffTable {
  readonly #out: Pick<Output, 'write'>
  readonly #title: string
  #table: Table | undefined

  constructor(out: Pick<Output, 'write'>, title: string) {
    this.#out = out
    this.#title = title
  }

  async print(infos: readonly FileInfo[]): Promise<void> {
    if (infos.length === 0) return
    if (this.#table === undefined) {
      await this.#out.write(`${this.#title}\n`)
      this.#table = new Table(this.#out)
      this.#table.add('NAME', 'TYPE', 'SIZE')
    }
    for (const info of infos) addRow(this.#table, info)
    await this.#table.flush()
  }
}
