import type { Clock } from '../../base/clock.ts'
import type { CommitInfo } from '../../gen/pfs_pb.ts'
import { sizeText } from './sizes.ts'
import type { Table } from './table.ts'
import { ageText, betweenText } from './times.ts'

export const commitColumns = ['REPO', 'ID', 'PARENT', 'STARTED', 'DURATION', 'SIZE'] as const

export function addCommitRow(table: Table, info: CommitInfo, clock: Clock): void {
  const { commit, parentCommit, started, finished, sizeBytes } = info
  table.add(
    commit?.repo?.name ?? '',
    commit?.id ?? '',
    parentCommit?.id ?? '<none>',
    ageText(started, clock),
    finished === undefined ? '-' : betweenText(started, finished),
    finished === undefined ? '-' : sizeText(sizeBytes),
  )
}
