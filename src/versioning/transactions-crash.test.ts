import { deepEqual, equal, ok } from 'node:assert/strict'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { collectBytes } from '../base/bytes.ts'
import { runUntilKilled } from '../testing/crash-run.ts'
import { openStoredVersioning } from '../testing/stored-versioning.ts'
import { TemporaryDirectory } from '../testing/temporary-directory.ts'
import { crashBytes, crashPair } from '../testing/versioning-crash.ts'
import type { Versioning } from './versioning.ts'

const child = fileURLToPath(new URL('../testing/versioning-crash-transactions.ts', import.meta.url))
const fileBytesMax = 1024 * 1024

/** What a process that is dead by now said of a transaction. */
interface Said {
  readonly id: string
  readonly commits: readonly string[]
  readonly isAcknowledged: boolean
}

function saidIn(line: string): Said {
  const [kind = '', id = '', ...commits] = line.split(' ')
  return { id, commits, isAcknowledged: kind !== 'planned' }
}

/** When each finished commit of a branch was finished, oldest first. */
async function finishTimes({ commits }: Versioning, repo: string): Promise<readonly number[]> {
  const times: number[] = []
  for await (const { state } of commits.list({ repo, to: 'master' })) {
    if (state.kind === 'finished') times.unshift(state.finishedAt)
  }
  return times
}

async function areFinished(
  { commits }: Versioning,
  ids: readonly string[],
): Promise<readonly boolean[]> {
  const states: boolean[] = []
  for (const [index, repo] of crashPair.entries()) {
    const { state } = await commits.inspect(repo, ids[index] ?? '')
    states.push(state.kind === 'finished')
  }
  return states
}

async function checkFiles({ files }: Versioning, repo: string): Promise<void> {
  for await (const { path, entry } of files.walk({ repo, commit: 'master', path: '' })) {
    if (entry.kind === 'directory') continue
    const { bytes } = await files.read({ repo, commit: 'master', path })
    expect(Buffer.compare(await collectBytes(bytes, fileBytesMax), crashBytes(path))).toBe(0)
  }
}

/** The law, after a crash; returns how many commits each repo has. */
async function checkStore(directory: string, said: readonly Said[]): Promise<number> {
  await using opened = await openStoredVersioning(directory)
  const { versioning } = opened
  const [left = '', right = ''] = crashPair
  const times = await finishTimes(versioning, left)
  // Each transaction finishes one of both, at one instant.
  expect(await finishTimes(versioning, right)).toEqual(times)
  for (const { id, commits, isAcknowledged } of said) {
    const [isLeft, isRight] = await areFinished(versioning, commits)
    equal(isRight, isLeft)
    ok(isLeft || !isAcknowledged)
    if (id === '-') continue
    const info = await versioning.transactions.inspect(id)
    equal(info.finishedAt !== undefined, isLeft)
    // Who lost the answer asks again.
    const again = await versioning.transactions.finish(id)
    deepEqual(
      again.steps.map(({ result }) => result?.id),
      commits,
    )
    deepEqual(await areFinished(versioning, commits), [true, true])
  }
  for (const repo of crashPair) await checkFiles(versioning, repo)
  return times.length
}

test('a process killed in a transaction leaves all of it or nothing', async () => {
  await using directory = await TemporaryDirectory.create()
  let commitCount = 0
  for (const [round, lineCount] of [2, 5, 8, 1, 14, 23].entries()) {
    const said: Said[] = []
    const args = [directory.path, String(round)]
    await runUntilKilled(child, args, lineCount, (line) => said.push(saidIn(line)))
    const count = await checkStore(directory.path, said)
    expect(count).toBeGreaterThan(commitCount)
    commitCount = count
  }
})
