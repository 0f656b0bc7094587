import type { Instant } from '../base/clock.ts'
import { parseRepoName, type RepoName } from '../base/names.ts'
import { checkShortText, shortTextBytesMax } from '../base/short-texts.ts'
import type { Database, ReadTransaction, Transaction } from '../database/database.ts'
import {
  RepoExistsError,
  RepoInUseError,
  RepoNotFoundError,
  RepoTaggedError,
  RepoWrittenError,
} from './errors.ts'
import {
  branchTopic,
  commitTopic,
  type CommitUses,
  repoTopic,
  type VersioningPorts,
} from './ports.ts'
import {
  directAncestors,
  repoAncestors,
  repoDescendants,
  writeRepoProvenance,
} from './records/repo-provenance.ts'
import {
  countRows,
  deletedAtOnceMax,
  markDeleted,
  purgeDeletedRepos,
} from './records/deleted-repos.ts'
import { snapshotKeys } from '../storage/snapshot-keys.ts'
import { latestWritten } from './records/latest-written.ts'
import { repoSizeColumn } from './records/repo-sizes.ts'
import { nextWritten } from './records/write-sequence.ts'
import { noteDeletion } from './deletion-notes.ts'

export { deletedAtOnceMax } from './records/deleted-repos.ts'

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
/** So many tags are named when a repo is not deleted. */
const namedTagCountMax = 5

const listedColumns = `name, substr(description, 1, ?) AS description, created_at, ${repoSizeColumn}`
const repoColumns = `name, description, created_at, ${repoSizeColumn}`

/**
 * @throws {RepoExistsError}
 * @throws {RepoNotFoundError} for a provenance repo that does not exist.
 */
export async function createRepo(
  tx: Transaction,
  spec: RepoSpec & { readonly createdAt: Instant },
): Promise<void> {
  if ((await findRow(tx, spec.name)) !== undefined) throw new RepoExistsError(spec.name)
  const written = await nextWritten(tx)
  await tx.run(
    `INSERT INTO repos (name, description, created_at, size_bytes, written, made)
      VALUES (?, ?, ?, 0, ?, ?)`,
    spec.name,
    spec.description,
    spec.createdAt,
    written,
    written,
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

/**
 * Makes the repo from `others`, too, and from those of its own that are still there. False when it
 * was made from all of `others` that exist.
 *
 * @throws {ProvenanceCycleError}
 */
export async function addProvenance(
  tx: Transaction,
  name: RepoName,
  others: readonly RepoName[],
): Promise<boolean> {
  const repo = await findRepo(tx, name)
  if (repo === undefined) return false
  const direct = await directAncestors(tx, name)
  const added = await existing(
    tx,
    others.filter((other) => !direct.includes(other)),
  )
  if (added.length === 0) return false
  await updateRepo(tx, { ...repo, provenance: [...(await existing(tx, direct)), ...added] })
  return true
}

async function existing(
  tx: ReadTransaction,
  names: readonly RepoName[],
): Promise<readonly RepoName[]> {
  const found: RepoName[] = []
  for (const name of names) if ((await findRow(tx, name)) !== undefined) found.push(name)
  return found
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
    `SELECT ${listedColumns}, written
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
 * Removes the repo with its commits, branches, commit tags and staged writes. Of more than `atOnceMax`
 * rows, nobody sees its commits any more, and `purgeDeletedRepos` is to be called. The name is free.
 * Returns how many rows of commits it deleted.
 *
 * @throws {RepoNotFoundError}
 */
export async function removeRepo(
  tx: Transaction,
  name: string,
  atOnceMax: number = deletedAtOnceMax,
): Promise<number> {
  if ((await findRow(tx, name)) === undefined) throw new RepoNotFoundError(name)
  const rowCount = await countRows(tx, name, atOnceMax)
  if (rowCount > atOnceMax) await markDeleted(tx, name)
  else await deleteCommits(tx, name)
  await tx.run('DELETE FROM branches WHERE repo = ?', name)
  await tx.run('DELETE FROM branch_triggers WHERE repo = ?', name)
  await tx.run('DELETE FROM commit_tags WHERE repo = ?', name)
  await tx.run('DELETE FROM repo_provenance WHERE repo = ?', name)
  await tx.run('DELETE FROM repos WHERE name = ?', name)
  await noteDeletion(tx)
  await tx.emit(repoTopic, name)
  await tx.emit(branchTopic, `${name}/`)
  await tx.emit(commitTopic, `${name}/`)
  return rowCount > atOnceMax ? 0 : rowCount
}

async function deleteCommits(tx: Transaction, repo: string): Promise<void> {
  const ofRepo = 'IN (SELECT id FROM commits WHERE repo = ?)'
  await tx.run(`DELETE FROM staged_writes WHERE id ${ofRepo}`, repo)
  await tx.run(`DELETE FROM commit_provenance WHERE id ${ofRepo}`, repo)
  await tx.run(`DELETE FROM merge_parents WHERE id ${ofRepo}`, repo)
  await tx.run('DELETE FROM commits WHERE repo = ?', repo)
}

/**
 * Removes the repo, unless something needs it.
 *
 * @throws {RepoNotFoundError}
 * @throws {RepoInUseError} @throws {RepoWrittenError} @throws {RepoTaggedError} unless `force`.
 */
export async function deleteRepo(
  tx: Transaction,
  uses: Pick<CommitUses, 'pipelineOf'>,
  { name, force }: { readonly name: string; readonly force: boolean },
): Promise<void> {
  if (!force) {
    const dependents = await repoDescendants(tx, name)
    if (dependents.length > 0) throw new RepoInUseError(name, dependents)
    const pipeline = await uses.pipelineOf(tx, name)
    if (pipeline !== undefined && (await findRow(tx, name)) !== undefined) {
      throw new RepoWrittenError(name, pipeline)
    }
    await requireNoTags(tx, name)
  }
  await removeRepo(tx, name)
}

/** @throws {RepoTaggedError} when a commit of the repo has a tag. */
export async function requireNoTags(tx: ReadTransaction, repo: string): Promise<void> {
  const [{ count } = { count: 0 }] = await tx.all<{ readonly count: number }>(
    'SELECT COUNT(*) AS count FROM commit_tags WHERE repo = ?',
    repo,
  )
  if (count === 0) return
  const tags = await tx.all<{ readonly name: string }>(
    'SELECT name FROM commit_tags WHERE repo = ? ORDER BY name LIMIT ?',
    repo,
    namedTagCountMax,
  )
  throw new RepoTaggedError({ repo, tags: tags.map(({ name }) => name), count })
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

/** As in lists. */
async function findListedRow(tx: ReadTransaction, name: string): Promise<RepoRow | undefined> {
  return tx.get<RepoRow>(`SELECT ${listedColumns} FROM repos WHERE name = ?`, listedLengthMax, name)
}

/** @throws {RepoNotFoundError} */
async function requireAll(tx: ReadTransaction, names: Iterable<string>): Promise<void> {
  for (const name of names) {
    if ((await findRow(tx, name)) === undefined) throw new RepoNotFoundError(name)
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
  uses: Pick<CommitUses, 'onRepoMade'>,
  spec: NewRepo & { readonly createdAt: Instant },
): Promise<void> {
  const repo: RepoSpec = {
    name: parseRepoName(spec.name),
    provenance: (spec.provenance ?? []).map(parseRepoName),
    description: checkDescription(spec.description ?? ''),
  }
  if (spec.update === true) await updateRepo(tx, repo)
  else await createRepo(tx, { ...repo, createdAt: spec.createdAt })
  await uses.onRepoMade(tx, repo.name)
}

/** The names of all repos, the latest written first. */
function latestNames(tx: ReadTransaction): AsyncGenerator<readonly string[]> {
  return latestWritten(tx, 'SELECT name AS key, written FROM repos WHERE 1 = 1', [])
}

function checkDescription(text: string): string {
  return checkShortText(text, "the repo's description", 'put long texts into a file of the repo')
}

/**
 * Goes on with repos whose deletion has begun, in whatever way: those that an earlier process left, and
 * each one that is deleted until `signal`.
 */
export async function purgeRepos(database: Database, signal: AbortSignal): Promise<void> {
  await purgeDeletedRepos(database, signal)
  for await (const _ of database.watch([repoTopic], { signal })) {
    await purgeDeletedRepos(database, signal)
  }
}

/** Names and descriptions of what is versioned. Names come as text and are parsed here. */
export class Repos {
  readonly #ports: VersioningPorts

  constructor(ports: VersioningPorts) {
    this.#ports = ports
  }

  async create(spec: NewRepo): Promise<void> {
    const createdAt = this.#ports.clock.now()
    const { database, uses } = this.#ports
    await database.transact((tx) => createOrUpdateRepo(tx, uses, { ...spec, createdAt }))
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
    await database.read((tx) => requireAll(tx, wanted))
    for (let last = ''; ;) {
      const page = await database.read((tx) => repoPage(tx, last))
      yield page.filter(({ info }) => isMadeFrom(info, wanted))
      last = page.at(-1)?.info.name ?? last
      if (page.length < pageRows) return
    }
  }

  /**
   * As they were when it began, the latest written first, in pages of any length. One that is
   * deleted meanwhile may be left out.
   */
  async *latest(options?: {
    readonly provenance?: readonly string[]
  }): AsyncGenerator<readonly RepoInfo[]> {
    const { database } = this.#ports
    const wanted = new Set(options?.provenance)
    await database.read((tx) => requireAll(tx, wanted))
    for await (const names of snapshotKeys(this.#ports, latestNames)) {
      yield await database.read(async (tx) => {
        const page: RepoInfo[] = []
        for (const name of names) {
          const row = await findListedRow(tx, name)
          const info = row && (await repoInfo(tx, row))
          if (info !== undefined && isMadeFrom(info, wanted)) page.push(info)
        }
        return page
      })
    }
  }

  /** As `pages`, all of them, the latest written first. */
  async list(options?: { readonly provenance?: readonly string[] }): Promise<readonly RepoInfo[]> {
    const repos: ListedRepo[] = []
    for await (const page of this.pages(options)) for (const repo of page) repos.push(repo)
    return repos.toSorted((left, right) => right.written - left.written).map(({ info }) => info)
  }

  /** Describes it anew; what it is made from stays. @throws {RepoNotFoundError} */
  async describe(name: string, text: string): Promise<RepoInfo> {
    const description = checkDescription(text)
    return await this.#ports.database.transact(async (tx) => {
      await getRepo(tx, name)
      await tx.run(
        'UPDATE repos SET description = ?, written = ? WHERE name = ?',
        description,
        await nextWritten(tx),
        name,
      )
      await tx.emit(repoTopic, name)
      return await getRepo(tx, name)
    })
  }

  async delete(name: string, options: { readonly force: boolean }): Promise<void> {
    const { database, uses } = this.#ports
    const repo = { name, ...options }
    await database.transact((tx) => deleteRepo(tx, uses, repo), { usesReserve: true })
    await purgeDeletedRepos(database)
  }

  /** Deletes every repo by force: all of them are gone at once, or none. */
  async deleteAll(): Promise<void> {
    const { database } = this.#ports
    await database.transact(
      async (tx) => {
        const repos = await tx.all<Pick<RepoRow, 'name'>>('SELECT name FROM repos')
        let atOnceMax = deletedAtOnceMax
        for (const { name } of repos) atOnceMax -= await removeRepo(tx, name, atOnceMax)
      },
      { usesReserve: true },
    )
    await purgeDeletedRepos(database)
  }
}
