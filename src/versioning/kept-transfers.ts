import type { Clock } from '../base/clock.ts'
import type { FilePath } from '../base/paths.ts'
import { joinPath, rootPath } from '../base/paths.ts'
import type { Database, ReadTransaction } from '../database/database.ts'
import type { Content } from '../storage/contents.ts'
import type { DirectoryEntry, TreeRoot } from '../storage/file-trees.ts'
import type { Lease } from '../storage/leases.ts'
import type { VersioningPorts } from './ports.ts'
import { noteDeletion } from './deletion-notes.ts'

export type KeptTransfersPorts = Pick<VersioningPorts, 'database' | 'chunks' | 'trees' | 'clock'>

const microsPerDay = 24 * 3600 * 1_000_000
/** So long after the last time that something was kept, a transfer is forgotten. */
export const keptDays = 7
const sweepMs = 3600 * 1000
/** What has come is made durable so often, should the server end. */
const saveEveryMs = 20_000
/** Names and contents that wait for that in memory. */
const unsavedMax = 20_000

type KeptRow = { readonly root: TreeRoot; readonly size_bytes: number; readonly file_count: number }

/**
 * Contents that a transfer had brought before it failed, so that the next try need not bring them again.
 * Rows: `docs/formats/metadata.md`.
 */
export class KeptTransfers {
  readonly #ports: KeptTransfersPorts

  constructor(ports: KeptTransfersPorts) {
    this.#ports = ports
  }

  /** The transfer of that key; `lease` keeps what it has. Unless it `resumes`, it begins with nothing. */
  async open(
    key: string,
    { lease, resumes }: { readonly lease: Lease; readonly resumes: boolean },
  ): Promise<KeptTransfer> {
    const row = await lease.acquire(async () => {
      const found = await this.#ports.database.read((tx) => keptRow(tx, key))
      if (found !== undefined) lease.hold({ kind: 'tree', root: found.root })
      return found
    })
    const { database, trees } = this.#ports
    if (row !== undefined && resumes) {
      const { root, size_bytes: sizeBytes, file_count: fileCount } = row
      return new KeptTransfer(
        this.#ports,
        key,
        { kind: 'directory', root, sizeBytes, fileCount },
        true,
      )
    }
    if (row !== undefined) await forget(database, key)
    return new KeptTransfer(this.#ports, key, await trees.emptyRoot(), false)
  }
}

/** One transfer: contents by names of the caller's, each of which is a file name. */
export class KeptTransfer {
  readonly #ports: KeptTransfersPorts
  readonly #key: string
  #kept: DirectoryEntry
  #hasRow: boolean
  #unsaved = new Map<FilePath, Content>()
  #saving: Promise<void> = Promise.resolve()
  #savedMs: number

  constructor(ports: KeptTransfersPorts, key: string, kept: DirectoryEntry, hasRow: boolean) {
    this.#ports = ports
    this.#savedMs = ports.clock.monotonicMs()
    this.#key = key
    this.#kept = kept
    this.#hasRow = hasRow
  }

  /** Whether an earlier try has kept something. */
  get hasEarlier(): boolean {
    return this.#hasRow
  }

  /** How much there is to go on with, as it will be saved. */
  get counts(): { readonly fileCount: number; readonly sizeBytes: number } {
    const { fileCount, sizeBytes } = this.#kept
    return { fileCount, sizeBytes }
  }

  /** What was kept when it was opened, or since. */
  async find(name: string): Promise<Content | undefined> {
    const path = joinPath(rootPath, name)
    const unsaved = this.#unsaved.get(path)
    if (unsaved !== undefined) return unsaved
    const entry = await this.#ports.trees.get(this.#kept, path)
    return entry?.kind === 'file' ? entry.content : undefined
  }

  /** Durable after the next `save`. */
  keep(name: string, content: Content): void {
    this.#unsaved.set(joinPath(rootPath, name), content)
  }

  /** As `save`, when the last time was long ago, or much is to be kept. */
  async saveWhenDue(): Promise<void> {
    const isDue = this.#ports.clock.monotonicMs() - this.#savedMs >= saveEveryMs
    if (isDue || this.#unsaved.size >= unsavedMax) await this.save()
  }

  /** Makes durable what is to be kept, one call after another. */
  async save(): Promise<void> {
    this.#savedMs = this.#ports.clock.monotonicMs()
    const saved = this.#saving.catch(() => undefined).then(() => this.#save())
    this.#saving = saved
    await saved
  }

  /** Nothing of it is needed any more. */
  async forget(): Promise<void> {
    await this.#saving.catch(() => undefined)
    if (this.#hasRow) await forget(this.#ports.database, this.#key)
  }

  async #save(): Promise<void> {
    const unsaved = this.#unsaved
    if (unsaved.size === 0) return
    const { database, chunks, trees, clock } = this.#ports
    // Names are of ASCII, where the order of texts is that of bytes.
    const edits = [...unsaved]
      .toSorted(([left], [right]) => (left < right ? -1 : 1))
      .map(([path, content]) => ({ path, entry: { kind: 'file', content } as const }))
    const kept = await trees.edit(this.#kept, edits, { emptied: 'keep' })
    await chunks.flush()
    await database.transact(async (tx) => {
      await tx.run(
        `INSERT INTO kept_transfers (key, kept_at, root, size_bytes, file_count) VALUES (?, ?, ?, ?, ?)
          ON CONFLICT (key) DO UPDATE SET kept_at = excluded.kept_at, root = excluded.root,
            size_bytes = excluded.size_bytes, file_count = excluded.file_count`,
        this.#key,
        clock.now(),
        kept.root,
        kept.sizeBytes,
        kept.fileCount,
      )
    })
    this.#kept = kept
    this.#hasRow = true
    for (const [path, content] of unsaved) {
      if (this.#unsaved.get(path) === content) this.#unsaved.delete(path)
    }
  }
}

async function keptRow(tx: ReadTransaction, key: string): Promise<KeptRow | undefined> {
  return tx.get<KeptRow>(
    'SELECT root, size_bytes, file_count FROM kept_transfers WHERE key = ?',
    key,
  )
}

async function forget(database: Database, key: string): Promise<void> {
  await database.transact(async (tx) => {
    await tx.run('DELETE FROM kept_transfers WHERE key = ?', key)
  })
}

/** Forgets transfers that nobody has gone on with, until `signal` aborts. */
export async function sweepKeptTransfers(
  { clock, database }: { readonly clock: Clock; readonly database: Database },
  signal: AbortSignal,
): Promise<void> {
  for (;;) {
    const before = clock.now() - keptDays * microsPerDay
    await database.transact(async (tx) => {
      const count = await tx.run('DELETE FROM kept_transfers WHERE kept_at < ?', before)
      if (count > 0) await noteDeletion(tx)
    })
    await clock.sleep(sweepMs, signal)
  }
}
