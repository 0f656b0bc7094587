import type { Database } from '../database/database.ts'
import type { CollectionRoot, CollectionSource } from '../storage/collection-roots.ts'
import { importedRoots } from '../versioning/imports.ts'
import { currentRun } from './runs.ts'

/** What a migration has brought is kept until it is completed or abandoned. */
export class ImportCollection implements CollectionSource {
  readonly #database: Database

  constructor(database: Database) {
    this.#database = database
  }

  async *collectionRoots(): AsyncGenerator<CollectionRoot> {
    const run = await this.#database.read((tx) => currentRun(tx))
    if (run !== undefined) yield* importedRoots(this.#database, run)
  }
}
