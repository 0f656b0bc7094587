import { realpathSync } from 'node:fs'

import type { Mount } from '../base/mount-table.ts'
import { readMounts } from './mount-table.ts'

const cannotStart = 126

/** Where the disk is mounted that `path` is on, if nothing on it may be started; `path` need not exist. */
export function noexecMountOf(
  path: string,
  mounts: readonly Mount[] = readMounts(),
): string | undefined {
  const real = realPathOf(path)
  let found: Mount | undefined
  for (const mount of mounts) {
    const { point } = mount
    const isAbove = point === '/' || real === point || real.startsWith(`${point}/`)
    // Of two mounts at one place the later counts.
    if (isAbove && point.length >= (found?.point.length ?? 0)) found = mount
  }
  return found?.options.includes('noexec') === true ? found.point : undefined
}

/** What may be why code ended with the code that shells have for what they cannot start. */
export function noexecText(exitCode: number, directory: string): string | undefined {
  if (exitCode !== cannotStart) return undefined
  const point = noexecMountOf(directory)
  if (point === undefined) return undefined
  return (
    `the data directory is on the disk at ${point}, which is mounted "noexec": nothing that is in /tmp, /var/tmp or ` +
    `/pfs can be started; mount it without (mount -o remount,exec ${point}), or give "sh /tmp/FILE" as the command`
  )
}

function realPathOf(path: string): string {
  try {
    return realpathSync(path)
  } catch {
    return path
  }
}
