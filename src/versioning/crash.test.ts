import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { collectBytes } from '../base/bytes.ts'
import { runUntilKilled } from '../testing/crash-run.ts'
import { openStoredVersioning } from '../testing/stored-versioning.ts'
import { TemporaryDirectory } from '../testing/temporary-directory.ts'
import { crashBytes, crashLine, crashRepo } from '../testing/versioning-crash.ts'
import type { Versioning } from './versioning.ts'

const child = fileURLToPath(new URL('../testing/versioning-crash-child.ts', import.meta.url))
const fileBytesMax = 1024 * 1024

/** What processes that are dead by now were told to be done. */
class Acknowledged {
  readonly paths = new Map<string, Set<string>>()
  readonly roots = new Map<string, string>()

  note(line: string): void {
    const [kind = '', commit = '', value = ''] = line.split(' ')
    if (kind === 'finished') this.roots.set(commit, value)
    else if (kind === 'put') {
      this.paths.set(commit, (this.paths.get(commit) ?? new Set()).add(value))
    }
  }
}

/** Every file of a commit by its path; what it holds must be what was put there, once. */
async function checkedPaths({ files }: Versioning, commit: string): Promise<ReadonlySet<string>> {
  const paths = new Set<string>()
  for await (const { path, entry } of files.walk({ repo: crashRepo, commit, path: '' })) {
    if (entry.kind === 'directory') continue
    const { bytes } = await files.read({ repo: crashRepo, commit, path })
    const expected = path.includes('/split/') ? crashLine(path) : crashBytes(path)
    expect(Buffer.compare(await collectBytes(bytes, fileBytesMax), expected)).toBe(0)
    paths.add(path)
  }
  return paths
}

async function checkStore(directory: string, acknowledged: Acknowledged): Promise<void> {
  await using opened = await openStoredVersioning(directory)
  const { commits } = opened.versioning
  for (const [commit, root] of acknowledged.roots) {
    const { state } = await commits.inspect(crashRepo, commit)
    expect(state).toMatchObject({ kind: 'finished', tree: { root } })
  }
  const heads = new Set<string>()
  for await (const { id } of commits.list({ repo: crashRepo, to: 'master' })) heads.add(id)
  // Each commit has its parent's files, so the head has all that was ever acknowledged.
  const paths = await checkedPaths(opened.versioning, 'master')
  for (const [commit, put] of acknowledged.paths) {
    expect(heads.has(commit)).toBe(true)
    expect([...put].filter((path) => !paths.has(path))).toEqual([])
  }
  // A move leaves nothing behind.
  const left = [...paths].filter((path) => paths.has(path.replace(/^\/from/, '/moved')))
  expect(left.filter((path) => path.startsWith('/from'))).toEqual([])
  // A bulk write is there whole or not at all, and so are a split and a copy of a directory.
  const bulks = Map.groupBy(
    [...paths].filter((path) => /\/(?:bulk|split)\//.test(path)),
    (path) => path.slice(0, path.lastIndexOf('/')),
  )
  for (const members of bulks.values()) expect(members).toHaveLength(5)
}

test('a process killed at any time loses nothing that it acknowledged', async () => {
  await using directory = await TemporaryDirectory.create()
  const acknowledged = new Acknowledged()
  for (const [round, lineCount] of [1, 7, 19, 40, 73, 9, 12, 111].entries()) {
    const args = [directory.path, String(round)]
    await runUntilKilled(child, args, lineCount, (line) => acknowledged.note(line))
    await checkStore(directory.path, acknowledged)
  }
  expect(acknowledged.roots.size).toBeGreaterThan(5)
})
