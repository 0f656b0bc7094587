// Fills commits of two repos and finishes them in transactions as fast as it can, and says what it is
// about to finish and what has been, until it is killed: versioning-crash-transactions.ts DIRECTORY ROUND

import { writeSync } from 'node:fs'
import type { Versioning } from '../versioning/versioning.ts'
import { openStoredVersioning } from './stored-versioning.ts'
import { crashBytes, crashPair } from './versioning-crash.ts'

const [directory = '', round = ''] = process.argv.slice(2)
await using opened = await openStoredVersioning(directory)
const { versioning } = opened
const filesPerCommit = 3

function say(...words: readonly string[]): void {
  writeSync(1, `${words.join(' ')}\n`)
}

/** The commit that the last process left open, or a new one, with some files more. */
async function filledCommit(
  { commits, writes }: Versioning,
  repo: string,
  prefix: string,
): Promise<string> {
  const head = await commits.inspect(repo, 'master').catch(() => undefined)
  const commit =
    head?.state.kind === 'open' ? head.id : (await commits.start({ repo, branch: 'master' })).id
  for (let index = 0; index < filesPerCommit; index += 1) {
    const path = `/${prefix}/${index}`
    await writes.put({ repo, commit, path }, crashBytes(path), { overwrite: true })
  }
  return commit
}

for (const repo of crashPair) await versioning.repos.create({ name: repo }).catch(() => undefined)
for (let count = 0; ; count += 1) {
  const ids: string[] = []
  for (const repo of crashPair) ids.push(await filledCommit(versioning, repo, `${round}/${count}`))
  const { transactions } = versioning
  const finishes = crashPair.map((repo, index) => {
    return { kind: 'finish-commit' as const, repo, commit: ids[index] ?? '' }
  })
  if (count % 2 === 0) {
    await transactions.run(finishes)
    say('ran', '-', ...ids)
  } else {
    const { id } = await transactions.start('')
    for (const finish of finishes) await transactions.add(id, finish)
    say('planned', id, ...ids)
    await transactions.finish(id)
    say('finished', id, ...ids)
  }
}
