import { DomainError } from '../../base/errors.ts'
import { parseBranchName } from '../../base/names.ts'
import type { ReadTransaction } from '../../database/database.ts'
import { pagesOf } from '../../database/pages.ts'
import { parseSchedule } from '../cron/schedule.ts'
import { pipelinesFinding } from '../pipelines-findings.ts'
import type { PipelinesCheckPorts } from './ports.ts'

interface TriggerRow {
  readonly [column: string]: string | number | null
  readonly repo: string
  readonly branch: string
  readonly source: string
  readonly owner: string
  readonly size_bytes: number
  readonly commit_count: number
  readonly schedule: string
  readonly added_bytes: number
  readonly added_count: number
  readonly repo_found: string | null
  readonly owner_found: string | null
}

const triggers = `SELECT t.repo, t.branch, t.source, t.owner, t.size_bytes, t.commit_count, t.schedule,
    t.added_bytes, t.added_count, r.name AS repo_found, p.name AS owner_found
  FROM branch_triggers t LEFT JOIN repos r ON r.name = t.repo
  LEFT JOIN pipelines p ON p.name = t.owner
  WHERE (t.repo, t.branch) > (?, ?) ORDER BY t.repo, t.branch`

/** Branches that follow others: of repos that exist, by conditions that can come to hold, in no circle. */
export async function checkTriggers({ database, run }: PipelinesCheckPorts): Promise<void> {
  run.stage = 'triggers of branches'
  const query = {
    sql: triggers,
    first: ['', ''],
    keyOf: ({ repo, branch }: TriggerRow) => [repo, branch],
  }
  for await (const page of pagesOf<TriggerRow>(database, query)) {
    run.throwIfCancelled()
    run.counts.rows += page.length
    for (const row of page) {
      const { repo, branch } = row
      const problem = (await problemOf(row)) ?? (await database.read((tx) => circleOf(tx, row)))
      if (problem === undefined) continue
      await run.report({
        kind: pipelinesFinding('branch-trigger-damaged'),
        subject: { repo, branch },
        what: `the trigger of branch ${branch} of repo ${repo} ${problem}`,
      })
    }
  }
}

async function problemOf(row: TriggerRow): Promise<string | undefined> {
  const { size_bytes: size, commit_count: count, added_bytes: bytes, added_count: added } = row
  if (row.repo_found === null) return 'is there, and the repo is not'
  if (row.owner !== '' && row.owner_found === null) {
    return `was made by pipeline ${row.owner}, which does not exist`
  }
  if ([size, count, bytes, added].some((number) => !Number.isSafeInteger(number) || number < 0)) {
    return 'counts what cannot be counted'
  }
  if (size === 0 && count === 0 && row.schedule === '') return 'has no condition'
  try {
    parseBranchName(row.branch)
    parseBranchName(row.source)
    if (row.schedule !== '') await parseSchedule(row.schedule, '')
  } catch (error) {
    if (!(error instanceof DomainError)) throw error
    return `makes no sense: ${error.message}`
  }
  return undefined
}

/** What follows another that follows it would never end to move. */
async function circleOf(
  tx: ReadTransaction,
  { repo, branch, source }: TriggerRow,
): Promise<string | undefined> {
  const passed = new Set<string>()
  for (let next: string | undefined = source; next !== undefined && !passed.has(next);) {
    if (next === branch) return 'leads in a circle'
    passed.add(next)
    const row: { readonly source: string } | undefined = await tx.get(
      'SELECT source FROM branch_triggers WHERE repo = ? AND branch = ?',
      repo,
      next,
    )
    next = row?.source
  }
  return undefined
}
