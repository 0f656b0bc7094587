import { execFile } from 'node:child_process'
import {
  chmodSync,
  type Dirent,
  lstatSync,
  readdirSync,
  rmdirSync,
  type Stats,
  unlinkSync,
} from 'node:fs'
import { promisify } from 'node:util'

const execute = promisify(execFile)
// More entries than this are removed by a program, so that the event loop does not wait for them.
const removedHereMax = 200
// Directories that are kept for the next datum: those on the way to its files are often the same.
const keptMax = 16

const permissionBits = 0o7777
const ownersBits = 0o7700
const ownersAll = 0o700

/**
 * Makes a directory empty, whatever user code left in it and whatever rights it took away, and gives
 * it `mode`. No process of user code may run any more.
 */
export async function emptyDirectory(directory: string, mode: number): Promise<void> {
  restore(directory, mode)
  try {
    if (removeSome(directory, { left: removedHereMax })) return
  } catch {
    // The programs below say what is wrong, if it still is.
  }
  await emptyByProgram(directory)
}

/**
 * As `emptyDirectory`, but a few plain directories in it may stay, empty of files: making and
 * removing them for each datum is slow while somebody waits for the same disk.
 */
export async function emptyTree(directory: string, mode: number): Promise<void> {
  restore(directory, mode)
  try {
    if (removeFiles(directory, { left: removedHereMax, kept: 0 })) return
  } catch {
    // Another way is tried below.
  }
  await emptyDirectory(directory, mode)
}

/** False when not everything may stay that is not a file, or the budget ran out. */
function removeFiles(directory: string, budget: { left: number; kept: number }): boolean {
  const entries = readdirSync(directory, { withFileTypes: true, encoding: 'buffer' })
  return entries.every((entry) => {
    budget.left -= 1
    if (budget.left < 0) return false
    const path = Buffer.concat([Buffer.from(`${directory}/`), entry.name])
    if (!entry.isDirectory()) {
      unlinkSync(path)
      return true
    }
    budget.kept += 1
    const text = path.toString()
    // A name that is not UTF-8 has no text to go on with.
    const isKept = budget.kept <= keptMax && Buffer.from(text).equals(path)
    return isKept && isPlain(lstatSync(text)) && removeFiles(text, budget)
  })
}

/** True for a directory as the server makes it. */
function isPlain(stats: Stats): boolean {
  return (
    stats.isDirectory() &&
    stats.uid === process.geteuid?.() &&
    (stats.mode & ownersBits) === ownersAll
  )
}

function restore(directory: string, mode: number): void {
  if ((lstatSync(directory).mode & permissionBits) !== mode) chmodSync(directory, mode)
}

async function emptyByProgram(directory: string): Promise<void> {
  const search = [directory, '-mindepth', '1', '-xdev']
  try {
    await execute('find', [...search, '-delete'])
  } catch {
    await execute('chmod', ['-R', 'u+rwX', '--', directory])
    await execute('find', [...search, '-delete'])
  }
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
