import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  rmSync,
  statfsSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'

import { FailedPreconditionError } from '../../base/errors.ts'
import type { SlotSecrets } from '../../pipelines/executor.ts'
import { memoryDirectory } from '../engine-storage.ts'

const tmpfsType = 0x01021994

/** A directory of the host, in memory, and where the container shows it. */
export interface ShownDirectory {
  readonly source: string
  readonly target: string
}

/** Removes what a crash left. */
export function removeSecrets(root: string): void {
  if (existsSync(root)) rmSync(root, { recursive: true })
}

/**
 * Writes the files of secrets, in memory and nowhere else.
 *
 * @throws {FailedPreconditionError} where the machine has no such place.
 */
export function writeSecrets(
  root: string,
  name: string,
  options: { readonly secrets: SlotSecrets; readonly isForRoot: boolean },
): readonly ShownDirectory[] {
  const { directories } = options.secrets
  if (directories.length === 0) return []
  requireMemory()
  // Whoever the user in the container is must get through; nobody else comes this far.
  if (!existsSync(root)) mkdirSync(root, { mode: 0o700 })
  const own = lstatSync(root)
  if (!own.isDirectory() || own.uid !== process.geteuid?.()) {
    throw new FailedPreconditionError(`${root} is somebody else's: remove it`)
  }
  chmodSync(root, 0o700)
  mkdirSync(join(root, name), { mode: 0o755 })
  return directories.map(({ path, files }, index) => {
    const source = join(root, name, String(index))
    mkdirSync(source)
    chmodSync(source, 0o755)
    for (const [file, bytes] of files) {
      writeFileSync(join(source, file), bytes, { flag: 'wx', mode: 0o600 })
      chmodSync(join(source, file), options.isForRoot ? 0o400 : 0o444)
    }
    return { source, target: path }
  })
}

export function removeSecretsOf(root: string, name: string): void {
  rmSync(join(root, name), { recursive: true, force: true })
}

function requireMemory(): void {
  const isMemory = existsSync(memoryDirectory) && statfsSync(memoryDirectory).type === tmpfsType
  if (isMemory) return
  throw new FailedPreconditionError(
    `secrets cannot be shown as files, since ${memoryDirectory} of this machine is not in memory: mount a tmpfs there, or give them as variables ("env_var")`,
  )
}
