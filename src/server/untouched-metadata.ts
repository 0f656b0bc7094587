import { access, constants, copyFile, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DataLossError } from '../base/errors.ts'
import { readSqliteStoreId } from '../database/sqlite.ts'
import { readSqliteUpgrade } from '../database/sqlite-upgrade.ts'
import { makeDirectories } from '../storage/directories.ts'
import { directoryError, systemCode } from '../storage/file-errors.ts'
import type { DataPlaces } from './data-directory.ts'
import { migrations } from './migrations.ts'

/** Whether a directory cannot be written: a snapshot, a backup medium, or somebody else's. */
export async function isReadOnly(directory: string): Promise<boolean> {
  return await access(directory, constants.W_OK).then(
    () => false,
    () => true,
  )
}

/**
 * Whether an older release has written the metadata, so that opening them would upgrade them. Of those that
 * cannot be read, opening them tells more.
 *
 * @throws {FailedPreconditionError} when a newer release has written them.
 */
export async function isOlder({ metadata }: DataPlaces, release: string): Promise<boolean> {
  try {
    if ((await readSqliteUpgrade(metadata, migrations, release)).length === 0) return false
    return (await readSqliteStoreId(metadata)) !== undefined
  } catch (error) {
    if (error instanceof DataLossError) return false
    throw error
  }
}

/**
 * A data directory whose metadata are to stay as they are, with a copy of them to open, which takes some
 * writing. The packs are where they are.
 */
export class UntouchedMetadata implements AsyncDisposable {
  /** With the copy in place of the metadata. */
  readonly places: DataPlaces
  readonly #original: DataPlaces
  readonly #directory: string

  private constructor(directory: string, original: DataPlaces) {
    this.#directory = directory
    this.#original = original
    const metadata = join(directory, 'metadata.db')
    this.places = { ...original, metadata, scratch: join(directory, 'scratch') }
  }

  /**
   * Copies them into the directory's scratch, when nobody else uses it, or to where this machine keeps what
   * is temporary.
   *
   * @throws {DiskFullError} when there is no room for the copy.
   */
  static async copy(
    original: DataPlaces,
    where: 'scratch' | 'elsewhere',
  ): Promise<UntouchedMetadata> {
    const parent = where === 'scratch' ? original.scratch : tmpdir()
    const refused = (error: unknown): never => {
      throw directoryError(error, `a copy of ${original.metadata} to read`, parent)
    }
    await makeDirectories(parent).catch(refused)
    const directory = await mkdtemp(join(parent, 'pachd-metadata-')).catch(refused)
    const untouched = new UntouchedMetadata(directory, original)
    try {
      for (const suffix of ['', '-wal', '-open']) {
        const copy = `${untouched.places.metadata}${suffix}`
        await copyFile(`${original.metadata}${suffix}`, copy).catch((error: unknown) => {
          if (systemCode(error) !== 'ENOENT') refused(error)
        })
      }
      return untouched
    } catch (error) {
      await untouched[Symbol.asyncDispose]()
      throw error
    }
  }

  /** What is said of the copy, said of that which it is a copy of. */
  saying(text: string): string {
    return text.replaceAll(this.places.metadata, this.#original.metadata)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.#directory, { recursive: true, force: true })
  }
}
