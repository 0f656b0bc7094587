import { DiffKind, type FileChange, FileChangeSchema } from '../../gen/pachyderm_pb.ts'
import type { CommandContext } from '../command.ts'
import { filesClient } from '../own-clients.ts'
import { rawText } from '../printing/json.ts'
import { shortMessageText } from '../printing/messages.ts'
import { sizeText } from '../../base/sizes.ts'
import { Table } from '../printing/table.ts'
import { ageText } from '../printing/times.ts'
import { fileOf } from './files.ts'

/** Prints what comes when it comes: a long line of commits takes its time. */
export async function history(context: CommandContext): Promise<void> {
  const { args, flags, out } = context
  const [repo = '', commit = '', path = ''] = args
  const file = fileOf(repo, commit, path)
  const number = BigInt(flags.count('number'))
  const isRaw = flags.isOn('raw')
  const table = new Table(out)
  table.add('COMMIT', 'CHANGE', 'FINISHED', 'SIZE', 'MESSAGE')
  for await (const { changes } of filesClient(context).fileHistory({ file, number })) {
    if (isRaw) await out.write(changes.map((change) => rawText(FileChangeSchema, change)).join(''))
    else {
      for (const change of changes) addRow(table, change, context)
      await table.flush()
    }
  }
}

function addRow(
  table: Table,
  { kind, commitInfo, fileInfo }: FileChange,
  { clock }: CommandContext,
): void {
  table.add(
    commitInfo?.commit?.id ?? '',
    kindText(kind),
    commitInfo?.finished === undefined ? '-' : ageText(commitInfo.finished, clock),
    fileInfo === undefined ? '-' : sizeText(fileInfo.sizeBytes),
    shortMessageText(commitInfo?.message ?? ''),
  )
}

function kindText(kind: DiffKind): string {
  switch (kind) {
    case DiffKind.ADDED:
      return 'added'
    case DiffKind.REMOVED:
      return 'removed'
    default:
      return 'changed'
  }
}
