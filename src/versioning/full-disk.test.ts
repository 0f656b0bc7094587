import { createHash } from 'node:crypto'
import { cp } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { collectBytes } from '../base/bytes.ts'
import { ResourceExhaustedError } from '../base/errors.ts'
import { seededBytes } from '../testing/seeded-random.ts'
import { openStoredVersioning } from '../testing/stored-versioning.ts'
import { TemporaryDirectory } from '../testing/temporary-directory.ts'
import { byLine } from '../testing/versioning-pair.ts'
import { pieceName, type Split } from './splits.ts'
import type { Versioning } from './versioning.ts'

const fileBytesMax = 8 * 1024 * 1024
const file = { repo: 'r', commit: 'master' }

/** Where the disk is written that is full, and how often it can be before it is. */
const fullDisks = [
  ['pack: write', 0],
  ['pack: write', 4],
  ['object: before sync', 0],
] as const

/** Inline, in a row, in one chunk of a pack, and in many: paths begin with their size. */
const sizes = [10, 5000, 100_000, 3_000_000]

/** What is sent to `path`: its own bytes, so that nothing is stored already. */
function sentTo(path: string): Uint8Array {
  const [, size = ''] = path.split('/')
  const seed = createHash('sha256').update(path).digest().readUInt32LE(0)
  return seededBytes(seed, Number(size))
}

/** Runs a write; true when it was acknowledged. */
async function isAcknowledged(write: Promise<unknown>): Promise<boolean> {
  try {
    await write
    return true
  } catch (error) {
    if (error instanceof ResourceExhaustedError) return false
    throw error
  }
}

async function putBulk({ writes }: Versioning, paths: readonly string[]): Promise<void> {
  await using bulk = await writes.bulk(file.repo, file.commit)
  for (const path of paths) await bulk.put(path, sentTo(path))
  await bulk.commit()
}

async function putSplit({ writes }: Versioning, paths: readonly string[]): Promise<void> {
  await using bulk = await writes.bulk(file.repo, file.commit, { split: asOnePiece })
  for (const path of paths) await bulk.put(path, sentTo(`${path}/${pieceName(0)}`))
  await bulk.commit()
}

const asOnePiece: Split = { ...byLine, targetBytes: 2 ** 40 }

/** Every way to write, of every size; the paths that were acknowledged. */
async function writeAll(versioning: Versioning, suffix: string): Promise<readonly string[]> {
  const acknowledged: string[] = []
  for (const size of sizes) {
    const path = `/${size}/put-${suffix}`
    const put = versioning.writes.put({ ...file, path }, sentTo(path))
    if (await isAcknowledged(put)) acknowledged.push(path)
  }
  const paths = sizes.map((size) => `/${size}/bulk-${suffix}`)
  if (await isAcknowledged(putBulk(versioning, paths))) acknowledged.push(...paths)
  const splits = sizes.map((size) => `/${size}/split-${suffix}`)
  if (await isAcknowledged(putSplit(versioning, splits))) {
    acknowledged.push(...splits.map((path) => `${path}/${pieceName(0)}`))
  }
  return acknowledged
}

async function found({ files }: Versioning): Promise<readonly string[]> {
  const paths: string[] = []
  for await (const { path, entry } of files.walk({ ...file, path: '' })) {
    if (entry.kind === 'directory') continue
    const { bytes } = await files.read({ ...file, path })
    const isWhole = Buffer.compare(await collectBytes(bytes, fileBytesMax), sentTo(path)) === 0
    paths.push(isWhole ? path : `${path} is not what was sent`)
  }
  return paths.toSorted()
}

/** What a server would find that is started on the disk as it is now. */
async function expectInCopy(path: string, acknowledged: readonly string[]): Promise<void> {
  await using directory = await TemporaryDirectory.create()
  const copy = directory.join('copy')
  await cp(path, copy, { recursive: true })
  await using opened = await openStoredVersioning(copy)
  expect(await found(opened.versioning)).toEqual(acknowledged.toSorted())
}

test.each(fullDisks)(
  'a disk that is full at "%s", with room for %d, loses nothing and shows no half of anything',
  async (step, roomFor) => {
    await using directory = await TemporaryDirectory.create()
    let isFull = false
    let fullCount = 0
    const faultPoint = (reached: string): void => {
      if (!isFull || reached !== step) return
      fullCount += 1
      throw Object.assign(new Error('no space'), { code: 'ENOSPC' })
    }
    const acknowledged: string[] = []
    {
      await using opened = await openStoredVersioning(directory.path, { faultPoint })
      const { versioning } = opened
      const { commits, repos } = versioning
      await repos.create({ name: 'r' })
      await commits.start({ repo: 'r', branch: 'master' })
      acknowledged.push(...(await writeAll(versioning, 'before')))
      expect(acknowledged).toHaveLength(3 * sizes.length)
      isFull = true
      const whileFull = await writeAll(versioning, 'meanwhile')
      expect(whileFull.length).toBeLessThan(3 * sizes.length)
      acknowledged.push(...whileFull)
      await expectInCopy(directory.path, acknowledged)
      const isFinished = await isAcknowledged(commits.finish('r', 'master'))
      expect(fullCount).toBeGreaterThan(roomFor)
      isFull = false
      if (isFinished) await commits.start({ repo: 'r', branch: 'master' })
      acknowledged.push(...(await writeAll(versioning, 'after')))
      expect(await found(versioning)).toEqual(acknowledged.toSorted())
      await commits.finish('r', 'master')
    }
    await using again = await openStoredVersioning(directory.path)
    expect(await found(again.versioning)).toEqual(acknowledged.toSorted())
  },
)
