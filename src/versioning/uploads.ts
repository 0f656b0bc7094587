import { type ByteStream, emptyBytes } from '../base/bytes.ts'
import type { Clock, Instant } from '../base/clock.ts'
import { NotFoundError, ResourceExhaustedError } from '../base/errors.ts'
import type { FilePath } from '../base/paths.ts'
import { parseCommitId } from '../base/names.ts'
import { newHexId } from '../base/random.ts'
import type { Database, ReadTransaction, Transaction } from '../database/database.ts'
import { type Content, contentSizeBytes } from '../storage/contents.ts'
import type { Lease } from '../storage/leases.ts'
import type { FileName } from './files.ts'
import type { HeadPut, HeadWrites, Requirement } from './head-writes.ts'
import type { VersioningPorts } from './ports.ts'
import { decodeContent, encodeContent } from './staging/staged-bytes.ts'

/** A file that comes in parts. */
export interface Upload {
  readonly id: string
  readonly repo: string
  readonly branch: string
  readonly path: FilePath
  readonly startedAt: Instant
}

/** A part that has come. */
export interface UploadPart {
  readonly number: number
  readonly putAt: Instant
  readonly hash: Uint8Array
  readonly sizeBytes: number
}

interface StoredPart extends UploadPart {
  readonly content: Content
}

interface ByteRange {
  readonly offset: number
  readonly length: number
}

/** There is none of that id, or it is done, or was too old. */
export class UploadNotFoundError extends NotFoundError {
  override readonly name = 'UploadNotFoundError'
  readonly upload: string

  constructor(upload: string, options?: ErrorOptions) {
    super(
      `there is no upload ${JSON.stringify(upload)}: it was completed or aborted, or nothing came for ${uploadDaysMax} days`,
      options,
    )
    this.upload = upload
  }
}

/** So long after the last part came, an upload is forgotten. */
export const uploadDaysMax = 7
/** So long after it was completed, whoever completes it again is told the same. */
const endedHoursMax = 1
const microsPerHour = 3600 * 1_000_000
const microsPerDay = 24 * microsPerHour
const sweepMs = 3600 * 1000
const uploadCountMax = 10_000

type UploadRow = Omit<Upload, 'startedAt'> & { readonly started_at: number }
type PartRow = { readonly number: number; readonly put_at: number; readonly content: Uint8Array }

type EndedRow = {
  readonly commit_id: string
  readonly is_open: number
  readonly hash: Uint8Array
  readonly size_bytes: number
}
type UploadPlace = Pick<Upload, 'id' | 'repo' | 'branch' | 'path'>

const uploadColumns = 'id, repo, branch, path, started_at'

/** Files that come in parts, over several calls, and are put when all are there. */
export class Uploads {
  readonly #ports: VersioningPorts
  readonly #headWrites: HeadWrites

  constructor(ports: VersioningPorts, headWrites: HeadWrites) {
    this.#ports = ports
    this.#headWrites = headWrites
  }

  /** @throws {ResourceExhaustedError} when too many are under way. */
  async begin(place: {
    readonly repo: string
    readonly branch: string
    readonly path: FilePath
  }): Promise<Upload> {
    const { clock, database, random } = this.#ports
    const upload: Upload = { ...place, id: newHexId(random), startedAt: clock.now() }
    await database.transact(async (tx) => {
      const row = await tx.get<{ readonly count: number }>('SELECT COUNT(*) AS count FROM uploads')
      if ((row?.count ?? 0) >= uploadCountMax) {
        throw new ResourceExhaustedError(
          `${uploadCountMax} uploads in parts are under way already: complete or abort some`,
        )
      }
      await tx.run(
        'INSERT INTO uploads (id, repo, branch, path, started_at, touched_at) VALUES (?, ?, ?, ?, ?, ?)',
        upload.id,
        upload.repo,
        upload.branch,
        upload.path,
        upload.startedAt,
        upload.startedAt,
      )
    })
    return upload
  }

  /** @throws {UploadNotFoundError} unless it goes to that place. */
  async inspect(upload: UploadPlace): Promise<Upload> {
    return this.#ports.database.read((tx) => getUpload(tx, upload))
  }

  /** Of parts with one number, the last counts. Durable when it resolves. */
  async put(upload: Upload, number: number, bytes: ByteStream): Promise<StoredPart> {
    using _ = this.#ports.leases.begin()
    return await this.#putStored(upload, number, await this.#ports.contents.write(bytes))
  }

  /** As `put`, of a file that is there, or of a range of it, which alone is stored again. */
  async copy(
    upload: Upload,
    number: number,
    source: FileName & {
      /** Of a file of so many bytes; undefined for all of it. */
      readonly range: (sizeBytes: number) => ByteRange | undefined
    },
    signal?: AbortSignal,
  ): Promise<StoredPart> {
    using lease = this.#ports.leases.begin()
    const content = await this.#headWrites.contentOf(source, lease, signal)
    const range = source.range(contentSizeBytes(content))
    if (range === undefined) return await this.#putStored(upload, number, content)
    const { contents } = this.#ports
    const part = await contents.write(contents.read(content, range))
    return await this.#putStored(upload, number, part)
  }

  async #putStored(upload: Upload, number: number, content: Content): Promise<StoredPart> {
    const { chunks, clock, database } = this.#ports
    await chunks.flush()
    const putAt = clock.now()
    const column = encodeContent(content)
    await database.transact(async (tx) => {
      await getUpload(tx, upload)
      await tx.run('UPDATE uploads SET touched_at = ? WHERE id = ?', putAt, upload.id)
      await tx.run(
        `INSERT INTO upload_parts (upload, number, put_at, content) VALUES (?, ?, ?, ?)
          ON CONFLICT (upload, number) DO UPDATE SET put_at = excluded.put_at, content = excluded.content`,
        upload.id,
        number,
        putAt,
        column,
      )
    })
    return this.#part({ number, put_at: putAt, content: column })
  }

  /**
   * Puts the file that the parts make, in the order that `pick` gives them, and forgets the upload. What
   * is in the parts is not read again, but for where they meet. An upload that was completed a short while
   * ago is what it became then.
   *
   * @throws {UploadNotFoundError} @throws as `HeadWrites.write` does; then the upload stays.
   */
  async complete(
    place: UploadPlace,
    options: {
      readonly pick: (parts: ReadonlyMap<number, StoredPart>) => readonly StoredPart[]
      /** Reads what will be put; what it throws refuses it. */
      readonly check?: ((bytes: ByteStream) => Promise<void>) | undefined
      readonly requires?: Requirement | undefined
    },
  ): Promise<HeadPut> {
    using lease = this.#ports.leases.begin()
    const parts = await this.#allParts(place.id, lease)
    const ended = await this.#ports.database.read(async (tx) => {
      const put = await findEnded(tx, place)
      if (put === undefined) await getUpload(tx, place)
      return put
    })
    if (ended !== undefined) return ended
    const picked = options.pick(parts)
    const content = await this.#join(picked.map((part) => part.content))
    await options.check?.(this.#ports.contents.read(content))
    const { requires } = options
    const put = await this.#headWrites.putStored({ ...place, requires }, content)
    await this.#noteEnd(place, put)
    return put
  }

  /** The parts that have come behind number `after`, at most `countMax`, in order. */
  async parts(
    { id }: Pick<Upload, 'id'>,
    options: { readonly after: number; readonly countMax: number },
  ): Promise<readonly StoredPart[]> {
    const rows = await this.#ports.database.read((tx) =>
      tx.all<PartRow>(
        `SELECT number, put_at, content FROM upload_parts WHERE upload = ? AND number > ?
          ORDER BY number LIMIT ?`,
        id,
        options.after,
        options.countMax,
      ),
    )
    return rows.map((row) => this.#part(row))
  }

  async #allParts(id: string, lease: Lease): Promise<ReadonlyMap<number, StoredPart>> {
    const countMax = Number.MAX_SAFE_INTEGER
    return await lease.acquire(async () => {
      const parts = await this.parts({ id }, { after: 0, countMax })
      for (const { content } of parts) {
        if (content.kind !== 'inline') lease.hold({ kind: 'content', content })
      }
      return new Map(parts.map((part) => [part.number, part]))
    })
  }

  async #join(parts: readonly Content[]): Promise<Content> {
    let joined: Content = { kind: 'inline', bytes: emptyBytes }
    for (const part of parts) joined = await this.#ports.contents.append(joined, part)
    return joined
  }

  #part({ number, put_at: putAt, content: column }: PartRow): StoredPart {
    const content = decodeContent(column)
    const hash = this.#ports.trees.entryHash({ kind: 'file', content })
    return { number, putAt, content, hash, sizeBytes: contentSizeBytes(content) }
  }

  /** Forgets an upload: it is put, or not wanted any more. @throws {UploadNotFoundError} */
  async end(upload: Upload): Promise<void> {
    await this.#ports.database.transact(
      async (tx) => {
        await getUpload(tx, upload)
        await deleteUpload(tx, upload)
      },
      { usesReserve: true },
    )
  }

  /** Whoever completes it at the same time has put the same, and may have been first. */
  async #noteEnd(upload: UploadPlace, put: HeadPut): Promise<void> {
    const { clock, database } = this.#ports
    await database.transact(
      async (tx) => {
        await deleteUpload(tx, upload)
        await tx.run(
          `INSERT INTO ended_uploads (id, repo, branch, path, commit_id, is_open, hash, size_bytes, ended_at)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING`,
          upload.id,
          upload.repo,
          upload.branch,
          upload.path,
          put.commit,
          put.isOpen ? 1 : 0,
          put.hash,
          put.sizeBytes,
          clock.now(),
        )
      },
      { usesReserve: true },
    )
  }

  /** Those to one branch, by path and then by id. */
  async list(repo: string, branch: string): Promise<readonly Upload[]> {
    const rows = await this.#ports.database.read((tx) =>
      tx.all<UploadRow>(
        `SELECT ${uploadColumns} FROM uploads WHERE repo = ? AND branch = ? ORDER BY path, id`,
        repo,
        branch,
      ),
    )
    return rows.map(uploadOf)
  }
}

async function deleteUpload(tx: Transaction, { id }: Pick<Upload, 'id'>): Promise<void> {
  await tx.run('DELETE FROM upload_parts WHERE upload = ?', id)
  await tx.run('DELETE FROM uploads WHERE id = ?', id)
}

/** What an upload to that place became, if it was completed a short while ago. */
async function findEnded(
  tx: ReadTransaction,
  { id, repo, branch, path }: UploadPlace,
): Promise<HeadPut | undefined> {
  const row = await tx.get<EndedRow>(
    `SELECT commit_id, is_open, hash, size_bytes FROM ended_uploads
      WHERE id = ? AND repo = ? AND branch = ? AND path = ?`,
    id,
    repo,
    branch,
    path,
  )
  if (row === undefined) return undefined
  const { commit_id: commit, is_open: isOpen, hash, size_bytes: sizeBytes } = row
  return { commit: parseCommitId(commit), isOpen: isOpen === 1, hash, sizeBytes }
}

async function getUpload(
  tx: ReadTransaction,
  { id, repo, branch, path }: UploadPlace,
): Promise<Upload> {
  const row = await tx.get<UploadRow>(
    `SELECT ${uploadColumns} FROM uploads WHERE id = ? AND repo = ? AND branch = ? AND path = ?`,
    id,
    repo,
    branch,
    path,
  )
  if (row === undefined) throw new UploadNotFoundError(id)
  return uploadOf(row)
}

function uploadOf({ started_at: startedAt, ...row }: UploadRow): Upload {
  return { ...row, startedAt }
}

/** Forgets uploads that nobody has gone on with, and those that ended, until `signal` aborts. */
export async function sweepUploads(
  { clock, database }: { readonly clock: Clock; readonly database: Database },
  signal: AbortSignal,
): Promise<void> {
  for (;;) {
    const now = clock.now()
    const before = now - uploadDaysMax * microsPerDay
    await database.transact(async (tx) => {
      await tx.run(
        'DELETE FROM upload_parts WHERE upload IN (SELECT id FROM uploads WHERE touched_at < ?)',
        before,
      )
      await tx.run('DELETE FROM uploads WHERE touched_at < ?', before)
      await tx.run(
        'DELETE FROM ended_uploads WHERE ended_at < ?',
        now - endedHoursMax * microsPerHour,
      )
    })
    await clock.sleep(sweepMs, signal)
  }
}
