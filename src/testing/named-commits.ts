import type { CommitId, RepoName } from '../base/names.ts'
import { insertFinishedCommit } from '../versioning/commit-records.ts'
import type { CommitName } from '../versioning/ports.ts'
import type { TestProcessing } from './test-processing.ts'

/** The commit that a test calls `name`, whose first letter is its repo. */
export function nameOf(name: string): CommitName {
  const id = Buffer.from(name).toString('hex').padEnd(32, '0') as CommitId
  return { repo: name.slice(0, 1) as RepoName, id }
}

/** A finished commit, made from others, with what `seed@master` holds. */
export async function insertNamed(
  world: TestProcessing,
  name: string,
  from: readonly string[],
): Promise<CommitName> {
  const { state, startedAt } = await world.versioning.commits.inspect('seed', 'master')
  if (state.kind !== 'finished') throw new Error('the commit was finished')
  const commit = nameOf(name)
  await world.database.transact((tx) =>
    insertFinishedCommit(tx, {
      ...commit,
      parent: undefined,
      provenance: from.map(nameOf),
      startedAt,
      finishedAt: state.finishedAt,
      tree: state.tree,
      addedBytes: 0,
    }),
  )
  return commit
}
