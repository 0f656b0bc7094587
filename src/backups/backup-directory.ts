import { constants, open, readdir, realpath, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { FailedPreconditionError } from '../base/errors.ts'
import { directoryError, systemCode } from '../storage/file-errors.ts'
import { descriptionKey, descriptionTitle } from './format.ts'

/** How the file `version` of a data directory begins: docs/formats/data-directory.md. */
const dataDirectoryTitle = 'pachyderm-ts data directory '
/** What a place that is no backup yet may hold: packs to share, and what is of file systems or of a crash. */
const harmlessNames = /^(packs|\.incoming|lost\+found|\.nfs.*)$/

/**
 * Looks at a directory that a backup is to be written to, and changes nothing. It may be missing.
 *
 * @throws {FailedPreconditionError} when it is no place for one: a file, somebody's files, or a part of a
 * data directory, whose server would delete what it holds.
 */
export async function requireBackupDirectory(directory: string): Promise<void> {
  const found = await stat(directory).catch((error: unknown) => {
    if (systemCode(error) === 'ENOENT') return undefined
    throw placeError(error, directory)
  })
  if (found?.isDirectory() === false) {
    throw new FailedPreconditionError(
      `${directory} is no directory: name one for backups (pachctl extract --file makes an archive)`,
    )
  }
  await requireOutsideData(directory)
  if (found === undefined) return
  const names = await readdir(directory).catch((error: unknown) => {
    throw placeError(error, directory)
  })
  if (names.includes(descriptionKey)) return
  const foreign = names.find((name) => !harmlessNames.test(name))
  if (foreign === undefined) return
  throw new FailedPreconditionError(
    `${directory} is no backup, but holds ${JSON.stringify(foreign)}: choose a place that is empty, or does not exist yet`,
  )
}

/** @throws {FailedPreconditionError} when it is a data directory, or lies in one, whatever links lead there. */
export async function requireOutsideData(place: string): Promise<void> {
  const root = await firstUpwards(place, isDataDirectory)
  if (root !== undefined) throw insideData(place, root)
}

/** Of a path and all above it, behind all links, the nearest that is one. */
async function firstUpwards(
  path: string,
  isOne: (directory: string) => Promise<boolean>,
): Promise<string | undefined> {
  for (let at = await nearestReal(path); ; at = dirname(at)) {
    if (await isOne(at)) return at
    if (at === dirname(at)) return undefined
  }
}

/**
 * @throws {FailedPreconditionError} for a file that lies in the directory of a backup, whatever links lead there:
 * it is taken for an object of that, or takes the place of one.
 */
export async function requireOutsideBackup(file: string): Promise<void> {
  const place = await firstUpwards(file, isBackup)
  if (place === undefined) return
  throw new FailedPreconditionError(
    `${file} is in ${place}, a directory of backups: an archive there would be taken for a part of them; name a file elsewhere, or give --directory ${place} for one backup more`,
  )
}

export function insideData(place: string, root: string): FailedPreconditionError {
  return new FailedPreconditionError(
    `${place} is in ${root}, a data directory of pachd: a backup there would go with what it is to save, and pachd deletes what it does not know there; choose a place outside, best on another disk`,
  )
}

/** The path behind all links of what is there of a path, which may end in names that are not there yet. */
export async function nearestReal(path: string): Promise<string> {
  try {
    return await realpath(path)
  } catch (error) {
    const parent = dirname(path)
    if (systemCode(error) !== 'ENOENT' || parent === path) throw placeError(error, path)
    return await nearestReal(parent)
  }
}

function placeError(error: unknown, path: string): unknown {
  if (systemCode(error) !== 'ENOTDIR') return directoryError(error, `the backup ${path}`, path)
  return new FailedPreconditionError(
    `${path} cannot be a directory, for a file is in the place of one above it: name another directory for backups`,
    { cause: error },
  )
}

async function isDataDirectory(directory: string): Promise<boolean> {
  return await beginsAs(join(directory, 'version'), dataDirectoryTitle)
}

async function isBackup(directory: string): Promise<boolean> {
  return await beginsAs(join(directory, descriptionKey), descriptionTitle)
}

async function beginsAs(path: string, title: string): Promise<boolean> {
  try {
    // A pipe of that name has nobody to wait for.
    await using file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK)
    const bytes = Buffer.alloc(title.length)
    const { bytesRead } = await file.read(bytes, 0, bytes.length, 0)
    return bytes.toString('latin1', 0, bytesRead) === title
  } catch {
    return false // nothing there, or nothing of ours
  }
}
