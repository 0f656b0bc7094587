import { expect, test } from 'vitest'
import { concatBytes, utf8, utf8Text } from '../base/bytes.ts'
import { DiskFullError } from '../base/errors.ts'
import { seededBytes } from '../testing/seeded-random.ts'
import { openStoredVersioning } from '../testing/stored-versioning.ts'
import { TemporaryDirectory } from '../testing/temporary-directory.ts'
import type { Versioning } from './versioning.ts'

const kept = { repo: 'r', commit: 'master', path: 'kept' } as const
const content = 'as it was put '.repeat(1000)

async function readKept({ files }: Versioning): Promise<string> {
  const { bytes } = await files.read(kept)
  return utf8Text(concatBytes(await Array.fromAsync(bytes)))
}

test('an open commit stays whole when a put of another file finds the disk full', async () => {
  await using directory = await TemporaryDirectory.create()
  let isFull = false
  const faultPoint = (step: string): void => {
    if (!isFull || step !== 'pack: write') return
    throw Object.assign(new Error('full'), { code: 'ENOSPC' })
  }
  {
    await using opened = await openStoredVersioning(directory.path, { faultPoint })
    const { repos, commits, writes } = opened.versioning
    await repos.create({ name: 'r' })
    await commits.start({ repo: 'r', branch: 'master' })
    await writes.put(kept, utf8(content))
    // What reading it has made of it is in no pack yet, only in the draft that is given up.
    expect(await readKept(opened.versioning)).toBe(content)
    isFull = true
    const large = writes.put({ ...kept, path: 'large' }, seededBytes(1, 3_000_000))
    await expect(large).rejects.toThrow(DiskFullError)
    isFull = false
    expect(await readKept(opened.versioning)).toBe(content)
    await writes.put({ ...kept, path: 'more' }, utf8('more'))
    await commits.finish('r', 'master')
  }
  // From the disk, with nothing in memory.
  await using opened = await openStoredVersioning(directory.path)
  expect(await readKept(opened.versioning)).toBe(content)
})
