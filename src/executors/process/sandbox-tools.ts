import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'

import { FailedPreconditionError } from '../../base/errors.ts'
import type { SlotSecrets } from '../../pipelines/executor.ts'

/** What a machine lacks for sandboxes, and what brings it. */
export interface ToolFault {
  readonly reason: string
  readonly advice: string
}

interface Tools {
  /** For people. */
  readonly packageName: string
  readonly names: readonly string[]
}

/** All that the scripts of a sandbox start, but for what only secrets need. */
const needed: readonly Tools[] = [
  {
    packageName: 'util-linux (Debian: mount, too)',
    names: ['unshare', 'setsid', 'setpriv', 'mount', 'umount', 'pivot_root', 'ipcrm'],
  },
  { packageName: 'findutils', names: ['find'] },
  {
    packageName: 'coreutils',
    names: ['nice', 'cat', 'ln', 'mkdir', 'readlink', 'realpath', 'rm', 'rmdir', 'stat'],
  },
  { packageName: 'sed', names: ['sed'] },
]

/** What other makers' tools of these names lack, or older ones. */
const options: Readonly<Record<string, readonly string[]>> = {
  setpriv: ['--pdeathsig', '--bounding-set', '--inh-caps'],
  unshare: ['--kill-child', '--map-root-user'],
  mount: ['--fstab', '--move'],
  ipcrm: ['--all'],
}
const firstVersion = '2.33'
const helpMsMax = 5000

/** Undefined where `path` has all tools, and they know the options that they are given. */
export async function toolFault(path: string): Promise<ToolFault | undefined> {
  for (const { packageName, names } of needed) {
    const missing = names.find((name) => !isTool(name, path))
    if (missing !== undefined) {
      const advice = `install ${packageName}, and start pachd anew`
      return { reason: `this machine lacks the program "${missing}"`, advice }
    }
  }
  const found = await Promise.all(
    Object.entries(options).map(async ([name, wanted]) => {
      const help = await helpOf(name, path)
      return wanted.filter((option) => help?.includes(option) === false).map((o) => `${name} ${o}`)
    }),
  )
  const [unknown] = found.flat()
  if (unknown === undefined) return undefined
  return {
    reason: `this machine lacks "${unknown}"`,
    advice: `install util-linux ${firstVersion} or newer, in whose place older tools or BusyBox's do not do, and start pachd anew`,
  }
}

/** @throws {FailedPreconditionError} when nothing brings files of secrets into a sandbox. */
export function requireArchiver({ directories }: SlotSecrets, path: string): void {
  if (directories.length === 0 || isTool('tar', path)) return
  throw new FailedPreconditionError(
    'this machine lacks the program "tar", which brings the files of secrets ("mount_path") into the sandbox: install tar, or give the secrets by "env_var"',
  )
}

/** Whether a directory of `path` has it. */
export function isTool(name: string, path: string): boolean {
  return path.split(':').some((directory) => existsSync(join(directory, name)))
}

/** What a tool tells of itself, which takes no rights; undefined when nobody can say. */
async function helpOf(name: string, path: string): Promise<string | undefined> {
  const { promise, resolve } = Promise.withResolvers<string | undefined>()
  const env = { PATH: path, LANG: 'C' }
  execFile(name, ['--help'], { env, timeout: helpMsMax }, (error, stdout, stderr) => {
    // Some tell it as they fail. One that could not be started, or was ended, has told nothing.
    const hasEnded = error === null || typeof error.code === 'number'
    const text = stdout + stderr
    resolve(hasEnded && text !== '' ? text : undefined)
  })
  return await promise
}
