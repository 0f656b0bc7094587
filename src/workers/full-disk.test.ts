import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'

import { SystemClock } from '../base/clock.ts'
import { DiskFullError } from '../base/errors.ts'
import { parseFilePath } from '../base/paths.ts'
import { SystemRandom } from '../base/random.ts'
import { openProcessExecutor, type ProcessExecutor } from '../executors/process.ts'
import type { WorkMember } from '../pipelines/datum-worker.ts'
import { ChunkedContents } from '../storage/chunked-contents.ts'
import { FileTrees } from '../storage/file-trees.ts'
import { MemoryChunkStore } from '../storage/memory-chunks.ts'
import { transform } from '../testing/process-fixture.ts'
import { SlotWorkers } from './slot-workers.ts'
import { isTested } from '../testing/left-out.ts'

const clock = new SystemClock()
const never = new AbortController().signal
const place = async (): Promise<Disposable> => ({ [Symbol.dispose]: () => {} })
/** Disks of their own take the right to mount. */
const isRoot = process.geteuid?.() === 0

const chunks = new MemoryChunkStore()
const contents = new ChunkedContents(chunks)
const trees = new FileTrees(chunks)
let data = ''
let executor: ProcessExecutor | undefined

beforeEach(() => {
  data = mkdtempSync(join(resolve('node_modules'), '.pachyderm-full-'))
})

afterEach(async () => {
  await executor?.[Symbol.asyncDispose]()
  executor = undefined
  spawnSync('umount', ['-l', data])
  rmSync(data, { recursive: true, force: true })
})

async function openWorkers(disk: string): Promise<SlotWorkers> {
  expect(spawnSync('mount', ['-t', 'tmpfs', '-o', disk, 'disk', data]).status).toBe(0)
  executor = await openProcessExecutor({
    directory: join(data, 'scratch'),
    hiddenDirectories: [data],
    clock,
    random: new SystemRandom(),
    reservedDiskBytes: 0,
    isolation: 'none',
  })
  const inputCache = { directory: join(data, 'inputs'), bytesMax: 0 }
  return new SlotWorkers({ executor, trees, contents, clock, inputCache })
}

async function member(path: string, bytes: Uint8Array): Promise<WorkMember> {
  const content = await contents.writeBytes(bytes)
  return { input: 'in', path: parseFilePath(path), entry: { kind: 'file', content } }
}

async function failureOf(workers: SlotWorkers, members: readonly WorkMember[]): Promise<unknown> {
  await using worker = await workers.open(transform(['true']), never)
  const work = { members, environment: {}, onLine: () => {}, onLeftOut: () => {}, place }
  return await worker.process({ ...work, signal: never }).catch((error: unknown) => error)
}

test.runIf(isTested(isRoot))(
  'inputs that are too long for the disk are told of as that',
  async () => {
    const workers = await openWorkers('size=256k')
    const failure = await failureOf(workers, [await member('/big', Buffer.alloc(500_000, 'x'))])
    expect(failure).toBeInstanceOf(DiskFullError)
    expect(String(failure)).toContain('the disk of the data directory is full')
    expect(String(failure)).toContain(`(at ${data}/scratch/`)
  },
)

test.runIf(isTested(isRoot))(
  'inputs that are too many files for the disk are told of as that',
  async () => {
    const workers = await openWorkers('nr_inodes=60')
    const members = await Promise.all(
      Array.from({ length: 80 }, (_, index) => member(`/${index}`, Buffer.from(String(index)))),
    )
    const failure = await failureOf(workers, members)
    expect(failure).toBeInstanceOf(DiskFullError)
    expect(String(failure)).toContain('can hold no more files')
    expect(String(failure)).toContain(`(at ${data}/scratch/`)
  },
)

test.runIf(isTested(isRoot))(
  'a slot that finds no room for its own files is told of as that',
  async () => {
    for (const disk of ['nr_inodes=7', 'nr_inodes=14', 'nr_inodes=16']) {
      const workers = await openWorkers(disk)
      const opening = workers.open(transform(['true']), never)
      await expect(opening).rejects.toThrow(DiskFullError)
      await executor?.[Symbol.asyncDispose]()
      spawnSync('umount', ['-l', data])
    }
  },
)
