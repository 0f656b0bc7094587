import {
  chmodSync,
  chownSync,
  type Dirent,
  lstatSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmdirSync,
  unlinkSync,
} from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'

import { runTool } from './tools.ts'

// More entries than this are removed by a program, so that the event loop does not wait for them.
const removedHereMax = 200
const removedName = '.removed'
const permissionBits = 0o7777

/**
 * Makes a directory empty, whatever user code left in it and whatever rights it took away, and gives
 * it `mode`. No process of user code may run any more. Of up to `hereMax` entries, the event loop waits.
 */
export async function emptyDirectory(
  directory: string,
  mode: number,
  hereMax: number = removedHereMax,
): Promise<void> {
  restore(directory, mode)
  try {
    if (removeSome(directory, { left: hereMax })) return
  } catch {
    // The programs below say what is wrong, if it still is.
  }
  await emptyByProgram(directory)
}

/** The same, but keeps one directory in it, which is emptied: it is made if it is no directory any more. */
export async function emptyAllBut(
  directory: string,
  kept: string,
  mode: number,
  hereMax: number = removedHereMax,
): Promise<void> {
  restore(directory, mode)
  for (const entry of readdirSync(directory, { withFileTypes: true, encoding: 'buffer' })) {
    const isKept = entry.name.equals(Buffer.from(kept))
    if (isKept && entry.isDirectory()) continue
    const path = Buffer.concat([Buffer.from(`${directory}/`), entry.name])
    if (!entry.isDirectory()) unlinkSync(path)
    else {
      // By a name that is a text.
      const removed = join(directory, removedName)
      renameSync(path, removed)
      await emptyDirectory(removed, mode, hereMax)
      rmdirSync(removed)
    }
  }
  mkdirSync(join(directory, kept), { recursive: true })
  await emptyDirectory(join(directory, kept), mode, hereMax)
}

/** Whoever owns it now, and whatever its rights are. */
export function restore(directory: string, mode: number): void {
  const stats = lstatSync(directory)
  const owner = process.geteuid?.()
  if (owner !== undefined && stats.uid !== owner) chownSync(directory, owner, stats.gid)
  if ((stats.mode & permissionBits) !== mode) chmodSync(directory, mode)
}

async function emptyByProgram(directory: string): Promise<void> {
  const search = [directory, '-mindepth', '1', '-xdev']
  try {
    await runTool('find', [...search, '-delete'])
  } catch (error) {
    if (isMissingProgram(error)) {
      await removeAll(directory)
      return
    }
    await runTool('chmod', ['-R', 'u+rwX', '--', directory])
    await runTool('find', [...search, '-delete'])
  }
}

/** Where the machine has no program for it: there is no sandbox then, in which code could take rights away. */
async function removeAll(directory: string): Promise<void> {
  for (const name of readdirSync(directory, { encoding: 'buffer' })) {
    const path = Buffer.concat([Buffer.from(`${directory}/`), name])
    await rm(path, { recursive: true, force: true })
  }
}

function isMissingProgram(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT'
}

/** Removes what is in `directory`; false when the budget ran out first. */
function removeSome(directory: string, budget: { left: number }): boolean {
  const entries = readdirSync(directory, { withFileTypes: true, encoding: 'buffer' })
  return entries.every((entry) => {
    budget.left -= 1
    return budget.left >= 0 && removeEntry(directory, entry, budget)
  })
}

function removeEntry(
  directory: string,
  entry: Dirent<Buffer<ArrayBuffer>>,
  budget: { left: number },
): boolean {
  const path = Buffer.concat([Buffer.from(`${directory}/`), entry.name])
  if (!entry.isDirectory()) {
    unlinkSync(path)
    return true
  }
  const text = path.toString()
  // A name that is not UTF-8 has no text to go on with.
  if (!Buffer.from(text).equals(path) || !removeSome(text, budget)) return false
  rmdirSync(path)
  return true
}
