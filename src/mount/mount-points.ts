import { realpathSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { readMounts } from './device/mount-table.ts'
import { findProgram, runProgram } from './device/programs.ts'
import { MountError, NoFuseError } from './errors.ts'

export interface UnmountOptions {
  /** Takes it out of the directory tree at once; programs that still use it may go on. */
  readonly detaches: boolean
}

/** Directories on which a pachctl has mounted, on this machine. */
export function listMounts(): readonly string[] {
  return process.platform === 'linux' ? readMounts().map(({ directory }) => directory) : []
}

/**
 * The directory as the list of mounts has it. Does not touch the directory itself, since whoever
 * serves it may be gone, or be this program.
 */
export function mountPath(directory: string): string {
  const path = resolve(directory)
  try {
    return join(realpathSync(dirname(path)), basename(path))
  } catch {
    return path
  }
}

/** @throws {MountError} when it is not mounted, or in use. */
export async function unmount(directory: string, { detaches }: UnmountOptions): Promise<void> {
  const path = mountPath(directory)
  if (!listMounts().includes(path)) {
    throw new MountError(`${directory} is not a mount of pachctl; pachctl unmount -a lists them`)
  }
  const tried = await runUnmount(path, detaches)
  // From those who stand in it nothing is taken away then.
  const isOver = isBusy(tried.said) && (await isAbandoned(path))
  const { succeeded, said } = isOver ? await runUnmount(path, true) : tried
  if (succeeded || !listMounts().includes(path)) return
  throw new MountError(
    isBusy(said)
      ? `${directory} is in use: leave it with every shell and program, or unmount it with --force`
      : `cannot unmount ${directory}: ${said}`,
  )
}

function isBusy(said: string): boolean {
  return /busy/i.test(said)
}

/** Whether whoever served it has ended. Asked by another program, which can be killed while it waits. */
async function isAbandoned(path: string): Promise<boolean> {
  const { said } = await runProgram('timeout', ['-s', 'KILL', '2', 'stat', '--', path])
  return said.includes('not connected')
}

async function runUnmount(path: string, detaches: boolean): ReturnType<typeof runProgram> {
  if (process.geteuid?.() === 0) return runProgram('umount', [...(detaches ? ['-l'] : []), path])
  const fusermount = findProgram('fusermount3', 'fusermount')
  if (fusermount === undefined) {
    throw new NoFuseError(
      'only root can unmount without fusermount3 (Debian: fuse3), which is not on PATH',
    )
  }
  return runProgram(fusermount, ['-u', ...(detaches ? ['-z'] : []), '--', path])
}
