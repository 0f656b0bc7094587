import { access, constants, copyFile, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { directoryError, systemCode } from '../storage/file-errors.ts'
import type { DataPlaces } from './data-directory.ts'

/** Whether a directory cannot be written: a snapshot, a backup medium, or somebody else's. */
export async function isReadOnly(directory: string): Promise<boolean> {
  return await access(directory, constants.W_OK).then(
    () => false,
    () => true,
  )
}

/**
 * A data directory that cannot be written, with a copy of its metadata elsewhere: opening them takes
 * some writing. The packs are where they are.
 */
export class ReadOnlyCopy implements AsyncDisposable {
  readonly places: DataPlaces
  readonly #directory: string

  private constructor(directory: string, places: DataPlaces) {
    this.#directory = directory
    this.places = places
  }

  /** @throws {DiskFullError} when there is no room for the copy. */
  static async make(of: DataPlaces): Promise<ReadOnlyCopy> {
    const directory = await mkdtemp(join(tmpdir(), 'pachd-fsck-'))
    const metadata = join(directory, 'metadata.db')
    const copy = new ReadOnlyCopy(directory, {
      ...of,
      metadata,
      scratch: join(directory, 'scratch'),
    })
    try {
      for (const suffix of ['', '-wal', '-open']) {
        await copyFile(`${of.metadata}${suffix}`, `${metadata}${suffix}`).catch(
          (error: unknown) => {
            if (systemCode(error) !== 'ENOENT') throw directoryError(error, of.metadata, directory)
          },
        )
      }
      return copy
    } catch (error) {
      await copy[Symbol.asyncDispose]()
      throw error
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.#directory, { recursive: true, force: true })
  }
}
