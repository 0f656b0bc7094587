import type { Clock } from '../../base/clock.ts'
import type { CommitInfo } from '../../gen/pfs_pb.ts'
import { shortMessageText } from './messages.ts'
import { sizeText } from './sizes.ts'
import type { Table } from './table.ts'
import { ageText, betweenText } from './times.ts'

const commitColumns = ['REPO', 'ID', 'PARENT', 'STARTED', 'DURATION', 'SIZE'] as const

/** A header, and a row for each commit; messages have a column if there is any. */
export function addCommitRows(table: Table, infos: readonly CommitInfo[], clock: Clock): void {
  const hasMessages = infos.some(({ message }) => message !== '')
  table.add(...commitColumns, ...(hasMessages ? ['MESSAGE'] : []))
  for (const info of infos) {
    const { commit, parentCommit, started, finished, sizeBytes, message } = info
    table.add(
      commit?.repo?.name ?? '',
      commit?.id ?? '',
      parentCommit?.id ?? '<none>',
      ageText(started, clock),
      finished === undefined ? '-' : betweenText(started, finished),
      finished === undefined ? '-' : sizeText(sizeBytes),
      ...(hasMessages ? [shortMessageText(message)] : []),
    )
  }
}
