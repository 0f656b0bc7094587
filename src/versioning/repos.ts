import type { Instant } from '../base/clock.ts'
import { parseRepoName, type RepoName } from '../base/names.ts'
import { checkShortText, shortTextBytesMax } from '../base/short-texts.ts'
import type { ReadTransaction, Transaction } from '../database/database.ts'
import { RepoExistsError, RepoInUseError, RepoNotFoundError } from './errors.ts'
import { branchTopic, commitTopic, repoTopic, type VersioningPorts } from './ports.ts'
import { repoAncestors, repoDescendants, writeRepoProvenance } from './records/repo-provenance.ts'
import { nextWritten } from './records/write-sequence.ts'
import { noteDeletion } from './deletion-notes.ts'

export interface RepoInfo {
  readonly name: RepoName
  readonly createdAt: Instant
  readonly description: string
  /** Grows by the full new size of every file that a finished commit adds or changes. */
  readonly sizeBytes: number
  /** Every repo that this one is made from, near and far, sorted by name. */
  readonly provenance: readonly RepoName[]
}

export interface RepoSpec {
  readonly name: RepoName
  /** Repos that this one is made from directly; theirs are added. */
  readonly provenance: readonly RepoName[]
  readonly description: string
}

type RepoRow = {
  readonly name: RepoName
  readonly description: string
  readonly created_at: number
  readonly size_bytes: number
}

/** Of descriptions that were stored before there was a bound, lists have so many characters. */
const listedLengthMax: number = shortTextBytesMax + 1
/** Repos that are read in one turn of the event loop. */
const pageRows = 500

const repoColumns = 'name, description, created_at, size_bytes'

/**
 * @throws {RepoExistsError}
 * @throws {RepoNotFoundError} for a provenance repo that does not exist.
 */
export async function createRepo(
  tx: Transaction,
  spec: RepoSpec & { readonly createdAt: Instant },
): Promise<void> {
  if ((await findRow(tx, spec.name)) !== undefined) throw new RepoExistsError(spec.name)
  await tx.run(
    `INSERT INTO repos (name, description, created_at, size_bytes, written) VALUES (?, ?, ?, 0, ?)`,
    spec.name,
    spec.description,
    spec.createdAt,
    await nextWritten(tx),
  )
  await writeRepoProvenance(tx, spec.name, spec.provenance)
  await tx.emit(repoTopic, spec.name)
}

/**
 * Replaces description and provenance; what is made from the repo follows.
 *
 * @throws {RepoNotFoundError} for the repo or a provenance repo.
 * @throws {ProvenanceCycleError}
 */
export async function updateRepo(tx: Transaction, spec: RepoSpec): Promise<void> {
  const changed = await tx.run(
    'UPDATE repos SET description = ?, written = ? WHERE name = ?',
    spec.description,
    await nextWritten(tx),
    spec.name,
  )
  if (changed === 0) throw new RepoNotFoundError(spec.name)
  await writeRepoProvenance(tx, spec.name, spec.provenance)
  await tx.emit(repoTopic, spec.name)
}

export async function findRepo(tx: ReadTransaction, name: string): Promise<RepoInfo | undefined> {
  const row = await findRow(tx, name)
  return row === undefined ? undefined : repoInfo(tx, row)
}

/** @throws {RepoNotFoundError} */
export async function getRepo(tx: ReadTransaction, name: string): Promise<RepoInfo> {
  const repo = await findRepo(tx, name)
  if (repo === undefined) throw new RepoNotFoundError(name)
  return repo
}

/** A repo as lists have it, which are put into order by when it was last written. */
interface ListedRepo {
  readonly info: RepoInfo
  readonly written: number
}

/** The repos whose names come after `last`, by name; those of one page at most. */
async function repoPage(tx: ReadTransaction, last: string): Promise<readonly ListedRepo[]> {
  const rows = await tx.all<RepoRow & { readonly written: number }>(
    `SELECT name, substr(description, 1, ?) AS description, created_at, size_bytes, written
      FROM repos WHERE name > ? ORDER BY name LIMIT ?`,
    listedLengthMax,
    last,
    pageRows,
  )
  const repos: ListedRepo[] = []
  for (const row of rows) repos.push({ info: await repoInfo(tx, row), written: row.written })
  return repos
}

/**
 * Removes the repo with its commits, branches, commit tags and staged writes.
 *
 * @throws {RepoNotFoundError}
 * @throws {RepoInUseError} unless `force`.
 */
export async function deleteRepo(
  tx: Transaction,
  name: string,
  options: { readonly force: boolean },
): Promise<void> {
  const row = await findRow(tx, name)
  if (row === undefined) throw new RepoNotFoundError(name)
  const dependents = await repoDescendants(tx, name)
  if (dependents.length > 0 && !options.force) throw new RepoInUseError(name, dependents)
  const ofRepo = 'IN (SELECT id FROM commits WHERE repo = ?)'
  await tx.run(`DELETE FROM staged_writes WHERE id ${ofRepo}`, name)
  await tx.run(`DELETE FROM commit_provenance WHERE id ${ofRepo}`, name)
  await tx.run(`DELETE FROM merge_parents WHERE id ${ofRepo}`, name)
  await tx.run('DELETE FROM commits WHERE repo = ?', name)
  await tx.run('DELETE FROM branches WHERE repo = ?', name)
  await tx.run('DELETE FROM branch_triggers WHERE repo = ?', name)
  await tx.run('DELETE FROM commit_tags WHERE repo = ?', name)
  await tx.run('DELETE FROM repo_provenance WHERE repo = ?', name)
  await tx.run('DELETE FROM repos WHERE name = ?', name)
  await noteDeletion(tx)
  await tx.emit(repoTopic, name)
  await tx.emit(branchTopic, `${name}/`)
  await tx.emit(commitTopic, `${name}/`)
}

async function findRow(tx: ReadTransaction, name: string): Promise<RepoRow | undefined> {
  return tx.get<RepoRow>(`SELECT ${repoColumns} FROM repos WHERE name = ?`, name)
}

async function repoInfo(tx: ReadTransaction, row: RepoRow): Promise<RepoInfo> {
  return {
    name: row.name,
    createdAt: row.created_at,
    description: row.description,
    sizeBytes: row.size_bytes,
    provenance: await repoAncestors(tx, row.name),
  }
}

/** Every repo that is made from `name`, near and far, by name. */
export async function reposMadeFrom(
  tx: ReadTransaction,
  name: string,
): Promise<readonly RepoName[]> {
  return await repoDescendants(tx, name)
}

function isMadeFrom({ provenance }: RepoInfo, wanted: ReadonlySet<string>): boolean {
  if (wanted.size === 0) return true
  const ancestors = new Set<string>(provenance)
  return wanted.isSubsetOf(ancestors)
}

export interface NewRepo {
  readonly name: string
  readonly provenance?: readonly string[]
  readonly description?: string
  /** Changes an existing repo instead; fails when there is none. */
  readonly update?: boolean
}

export async function createOrUpdateRepo(
  tx: Transaction,
  spec: NewRepo,
  createdAt: Instant,
): Promise<void> {
  const repo: RepoSpec = {
    name: parseRepoName(spec.name),
    provenance: (spec.provenance ?? []).map(parseRepoName),
    description: checkShortText(
      spec.description ?? '',
      "the repo's description",
      'put long texts into a file of the repo',
    ),
  }
  if (spec.update === true) await updateRepo(tx, repo)
  else await createRepo(tx, { ...repo, createdAt })
}

/** Names and descriptions of what is versioned. Names come as text and are parsed here. */
export class Repos {
  readonly #ports: VersioningPorts

  constructor(ports: VersioningPorts) {
    this.#ports = ports
  }

  async create(spec: NewRepo): Promise<void> {
    const createdAt = this.#ports.clock.now()
    await this.#ports.database.transact((tx) => createOrUpdateRepo(tx, spec, createdAt))
  }

  /** @throws {RepoNotFoundError} */
  async inspect(name: string): Promise<RepoInfo> {
    return this.#ports.database.read((tx) => getRepo(tx, name))
  }

  /**
   * By name, in pages: whatever is there all the while is told once. With `provenance`, only repos made from all
   * of these.
   */
  async *pages(options?: {
    readonly provenance?: readonly string[]
  }): AsyncGenerator<readonly ListedRepo[]> {
    const { database } = this.#ports
    const wanted = new Set(options?.provenance)
    await database.read(async (tx) => {
      for (const name of wanted)
        if ((await findRow(tx, name)) === undefined) throw new RepoNotFoundError(name)
    })
    for (let last = ''; ;) {
      const page = await database.read((tx) => repoPage(tx, last))
      yield page.filter(({ info }) => isMadeFrom(info, wanted))
      last = page.at(-1)?.info.name ?? last
      if (page.length < pageRows) return
    }
  }

  /** As `pages`, all of them, the latest written first. */
  async list(options?: { readonly provenance?: readonly string[] }): Promise<readonly RepoInfo[]> {
    const repos: ListedRepo[] = []
    for await (const page of this.pages(options)) for (const repo of page) repos.push(repo)
    return repos.toSorted((left, right) => right.written - left.written).map(({ info }) => info)
  }

  async delete(name: string, options: { readonly force: boolean }): Promise<void> {
    await this.#ports.database.transact((tx) => deleteRepo(tx, name, options), {
      usesReserve: true,
    })
  }

  /** Deletes every repo by force. */
  async deleteAll(): Promise<void> {
    await this.#ports.database.transact(
      async (tx) => {
        const repos = await tx.all<Pick<RepoRow, 'name'>>('SELECT name FROM repos')
        for (const { name } of repos) await deleteRepo(tx, name, { force: true })
      },
      { usesReserve: true },
    )
  }
}
