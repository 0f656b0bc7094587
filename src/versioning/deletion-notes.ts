import type { Database, ReadTransaction, Transaction } from '../database/database.ts'
import type {
  CollectionRoot,
  CollectionRun,
  CollectionSource,
} from '../storage/collection-roots.ts'

/**
 * Notes, in the transaction that deletes, that something was deleted which may have kept chunks: a
 * collection is due, also after a restart.
 */
export async function noteDeletion(tx: Transaction): Promise<void> {
  await tx.run(
    `INSERT INTO deletion_notes (one, deleted, collected) VALUES (1, 1, 0)
      ON CONFLICT (one) DO UPDATE SET deleted = deleted + 1`,
  )
}

type NotesRow = { readonly deleted: number; readonly collected: number }

async function notesOf(tx: ReadTransaction): Promise<NotesRow> {
  const row = await tx.get<NotesRow>('SELECT deleted, collected FROM deletion_notes WHERE one = 1')
  return row ?? { deleted: 0, collected: 0 }
}

/** What collections have not freed yet. It refers to nothing, and hears when they have. */
export class DeletionNotes implements CollectionSource {
  readonly #database: Database
  #seen = 0

  constructor(database: Database) {
    this.#database = database
  }

  /** Whether something was deleted since the last collection that came to its end began. */
  async isDue(): Promise<boolean> {
    const { deleted, collected } = await this.#database.read(notesOf)
    // Numbers that cannot be are put right by a collection.
    return deleted !== collected
  }

  async prepare(): Promise<void> {
    this.#seen = (await this.#database.read(notesOf)).deleted
  }

  async *collectionRoots(): AsyncGenerator<CollectionRoot> {
    // None.
  }

  async ended(run: CollectionRun): Promise<void> {
    if (run.isRehearsal || run.isIncremental || !(await this.isDue())) return
    await this.#database.transact(
      (tx) => tx.run('UPDATE deletion_notes SET collected = ? WHERE one = 1', this.#seen),
      { usesReserve: true },
    )
  }
}
