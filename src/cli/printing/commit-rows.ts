import type { Clock } from '../../base/clock.ts'
import type { Output } from '../../base/output.ts'
import type { CommitInfo } from '../../gen/pfs_pb.ts'
import { shortMessageText } from './messages.ts'
import { sizeText } from '../../base/sizes.ts'
import { Table } from './table.ts'
import { ageText, betweenText } from './times.ts'

const commitColumns = ['REPO', 'ID', 'PARENT', 'STARTED', 'DURATION', 'SIZE'] as const

/** What commits merged, and what was said of them, have a column each if there is any. */
interface MoreColumns {
  readonly merged: boolean
  readonly messages: boolean
}

/** A table of commits, which may come bit by bit: the header is printed again where more columns are needed. */
export class CommitTable {
  readonly #table: Table
  readonly #clock: Clock
  #more: MoreColumns | undefined

  constructor(out: Output, clock: Clock) {
    this.#table = new Table(out)
    this.#clock = clock
  }

  /** The header, if it has not been printed, and a row for each commit. */
  async print(infos: readonly CommitInfo[]): Promise<void> {
    const before = this.#more
    const more = {
      merged: before?.merged === true || infos.some(({ mergeParents }) => mergeParents.length > 0),
      messages: before?.messages === true || infos.some(({ message }) => message !== ''),
    }
    this.#more = more
    if (more.merged !== before?.merged || more.messages !== before.messages) {
      const merged = more.merged ? ['MERGED'] : []
      this.#table.add(...commitColumns, ...merged, ...(more.messages ? ['MESSAGE'] : []))
    }
    for (const info of infos) this.#table.add(...rowOf(info, more, this.#clock))
    await this.#table.flush()
  }
}

function rowOf(info: CommitInfo, more: MoreColumns, clock: Clock): readonly string[] {
  const { commit, parentCommit, mergeParents, started, finished, sizeBytes, message } = info
  const merged = mergeParents.length === 0 ? '-' : mergeParents.map(({ id }) => id).join(',')
  return [
    commit?.repo?.name ?? '',
    commit?.id ?? '',
    parentCommit?.id ?? '<none>',
    ageText(started, clock),
    finished === undefined ? '-' : betweenText(started, finished),
    finished === undefined ? '-' : sizeText(sizeBytes),
    ...(more.merged ? [merged] : []),
    ...(more.messages ? [shortMessageText(message)] : []),
  ]
}
