import { constants } from 'node:fs'
import { access, mkdtemp, rm, statfs, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const memoryDirectory = '/dev/shm'
/** What a run of all tests may keep at once, and as much again. */
const roomBytesMin = 4 * 1024 ** 3

/**
 * Gives a run of tests a directory of its own, in which every temporary file is, and removes it at the end.
 *
 * It is in memory where there is room, unless `TMPDIR` says otherwise: tests end processes at every moment, never
 * the machine, so that they prove the same without waiting for a disk.
 */
export async function setup(): Promise<() => Promise<void>> {
  const inMemory = process.env['TMPDIR'] === undefined && (await hasRoom(memoryDirectory))
  const directory = await mkdtemp(join(inMemory ? memoryDirectory : tmpdir(), 'tests-'))
  process.env['TMPDIR'] = directory
  // Programs that tests start compile what they share once.
  process.env['NODE_COMPILE_CACHE'] = join(directory, 'compiled')
  // What tests have ended may still write.
  return () => rm(directory, { recursive: true, force: true, maxRetries: 20 })
}

/** Whether a directory takes what tests store, and programs may be started in it. */
async function hasRoom(directory: string): Promise<boolean> {
  const probe = join(directory, `probe-${process.pid}`)
  try {
    const { bavail, bsize } = await statfs(directory)
    if (bavail * bsize < roomBytesMin) return false
    await writeFile(probe, '', { mode: 0o700 })
    await access(probe, constants.X_OK)
    return true
  } catch {
    return false
  } finally {
    await rm(probe, { force: true })
  }
}
