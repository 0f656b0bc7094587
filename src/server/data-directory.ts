import { mkdir, open, readdir, readFile, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { DataLossError, FailedPreconditionError } from '../base/errors.ts'
import { lockDirectory } from '../database/directory-lock.ts'
import { fileError, systemCode } from '../storage/file-errors.ts'

/** Where things are in a data directory that is ours alone until it is disposed. */
export interface DataDirectory extends AsyncDisposable {
  readonly root: string
  readonly objects: string
  readonly scratch: string
}

/** The arrangement of the directory: docs/formats/data-directory.md. */
const layoutVersion = 1
const versionName = 'version'
const versionDraftName = 'version.draft'
/** What an empty disk, a server that was killed as it began, or one that begins right now may leave. */
const harmlessNames: ReadonlySet<string> = new Set([
  'lost+found',
  'lock.db',
  'lock.db-journal',
  versionDraftName,
])

/**
 * Makes `root` a data directory, if it is not one yet, and locks it.
 *
 * @throws {UnavailableError} when another server has it.
 * @throws {FailedPreconditionError} when it holds something else, or is of a newer release.
 * @throws {DataLossError} when what it says of itself makes no sense.
 */
export async function openDataDirectory(root: string): Promise<DataDirectory> {
  await using opened = new AsyncDisposableStack()
  try {
    await mkdir(root, { recursive: true })
    await requireOurs(root)
    opened.use(await lockDirectory(root))
    await checkVersion(root)
  } catch (error) {
    throw rootError(root, error)
  }
  const held = opened.move()
  return {
    root,
    objects: join(root, 'objects'),
    scratch: join(root, 'scratch'),
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  }
}

/** So that nobody's home directory is filled with ours by a mistyped flag. */
async function requireOurs(root: string): Promise<void> {
  const names = await readdir(root)
  if (names.includes(versionName)) return
  const foreign = names.find((name) => !harmlessNames.has(name))
  if (foreign === undefined) return
  throw new FailedPreconditionError(
    `${root} is no data directory of pachd, but holds ${JSON.stringify(foreign)}: choose an empty or a new directory, or restore its file "${versionName}"`,
  )
}

async function checkVersion(root: string): Promise<void> {
  const path = join(root, versionName)
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    if (systemCode(error) === 'ENOENT') return undefined
    throw error
  })
  if (text === undefined) {
    await writeVersion(root)
    return
  }
  const version = /^pachyderm-ts data directory ([1-9]\d{0,8})\n$/.exec(text)?.[1]
  if (version === undefined) {
    throw new DataLossError(
      `${path} is damaged: it should read "pachyderm-ts data directory ${layoutVersion}"; check the directory, or restore a backup`,
    )
  }
  if (Number(version) > layoutVersion) {
    throw new FailedPreconditionError(
      `${root} was written by a newer release (layout ${version}); this release knows layout ${layoutVersion}: use the newer release`,
    )
  }
}

/** Draft, sync, rename, sync: the file is there whole or not at all. */
async function writeVersion(root: string): Promise<void> {
  const draft = join(root, versionDraftName)
  {
    await using file = await open(draft, 'w')
    await file.writeFile(`pachyderm-ts data directory ${layoutVersion}\n`)
    await file.sync()
  }
  await rename(draft, join(root, versionName))
  await using directory = await open(root, 'r')
  await directory.sync()
}

function rootError(root: string, error: unknown): unknown {
  const what = `data directory ${root}`
  switch (systemCode(error)) {
    case 'ENOTDIR':
    case 'EEXIST':
      return new FailedPreconditionError(`${what}: there is a file in its way`, { cause: error })
    default:
      return fileError(error, what)
  }
}
