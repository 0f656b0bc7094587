import type { Instant } from '../base/clock.ts'
import { type CommitId, type CommitTag, parseCommitTag, type RepoName } from '../base/names.ts'
import type { Database, ReadTransaction, Transaction } from '../database/database.ts'
import { findBranch } from './branches.ts'
import { getCommit } from './commit-records.ts'
import {
  CommitTaggedError,
  CommitTagExistsError,
  CommitTagNotFoundError,
  NameInUseError,
} from './errors.ts'
import type { VersioningPorts } from './ports.ts'
import { checkCancelled } from './records/cancellation.ts'
import {
  type CommitTagRow,
  commitTagColumns,
  findCommitTag,
  writeCommitTag,
} from './records/commit-tag-rows.ts'
import { getRepo } from './repos.ts'

/** A name that stays at its commit, which cannot be deleted while it does. */
export interface CommitTagInfo {
  readonly repo: RepoName
  readonly name: CommitTag
  readonly commit: CommitId
  /** When the tag was made, or last moved. */
  readonly taggedAt: Instant
}

export interface CommitTagging {
  readonly repo: string
  /** As in `resolveCommitId`. */
  readonly commit: string
  readonly tag: string
  readonly move: boolean
}

/** So many are read at a time. */
const pageMax = 500
/** So many tags of a commit are named when it is not deleted. */
const namedTagCountMax = 5

/**
 * Must be called, in the same transaction, before commits are deleted other than with their repo.
 * Costs one look-up for each commit.
 *
 * @throws {CommitTaggedError} for the first of `commits` that a tag points at.
 */
export async function requireUntagged(
  tx: ReadTransaction,
  commits: Iterable<CommitId>,
): Promise<void> {
  for (const id of commits) {
    const tags = await tx.all<{ readonly repo: RepoName; readonly name: CommitTag }>(
      'SELECT repo, name FROM commit_tags WHERE id = ? ORDER BY name LIMIT ?',
      id,
      namedTagCountMax,
    )
    const [first] = tags
    if (first === undefined) continue
    throw new CommitTaggedError({
      repo: first.repo,
      commit: id,
      tags: tags.map(({ name }) => name),
    })
  }
}

/** Names that stay at one commit. They are named like branches, and no branch has the same name. */
export class CommitTags {
  readonly #ports: VersioningPorts

  constructor(ports: VersioningPorts) {
    this.#ports = ports
  }

  /**
   * Tags a commit, open or finished. A tag that is there already stays as it is.
   *
   * @throws {CommitTagExistsError} for a tag that is at another commit, unless `move`.
   * @throws {NameInUseError} when a branch has that name.
   */
  async set(request: CommitTagging): Promise<CommitTagInfo> {
    const taggedAt = this.#ports.clock.now()
    return this.#ports.database.transact((tx) => setCommitTag(tx, { ...request, taggedAt }))
  }

  /** By repo, then by name; of one repo, or of all. @throws {RepoNotFoundError} */
  async *list(repo: string | undefined, signal?: AbortSignal): AsyncGenerator<CommitTagInfo> {
    const { database } = this.#ports
    if (repo !== undefined) await database.read((tx) => getRepo(tx, repo))
    let after: Pick<CommitTagInfo, 'repo' | 'name'> | undefined
    for (;;) {
      checkCancelled(signal)
      const page = await tagPage(database, repo, after)
      for (const row of page) yield tagInfo(row)
      after = page.at(-1)
      if (after === undefined) return
    }
  }

  /** The commit stays. @throws {CommitTagNotFoundError} */
  async delete(repo: string, tag: string): Promise<void> {
    await this.#ports.database.transact((tx) => deleteCommitTag(tx, repo, tag))
  }
}

/** As `CommitTags.set`. */
export async function setCommitTag(
  tx: Transaction,
  { repo, commit, tag: text, move, taggedAt }: CommitTagging & { readonly taggedAt: Instant },
): Promise<CommitTagInfo> {
  const tag = parseCommitTag(text)
  const { id, repo: repoName } = await getCommit(tx, repo, commit)
  const old = await findCommitTag(tx, repo, tag)
  if (old?.id === id) return tagInfo(old)
  if (old !== undefined && !move) throw new CommitTagExistsError(repo, tag, old.id)
  if ((await findBranch(tx, repo, tag)) !== undefined) {
    throw new NameInUseError(repo, tag, 'branch')
  }
  const row: CommitTagRow = { repo: repoName, name: tag, id, tagged_at: taggedAt }
  await writeCommitTag(tx, row)
  return tagInfo(row)
}

/** As `CommitTags.delete`. */
export async function deleteCommitTag(tx: Transaction, repo: string, tag: string): Promise<void> {
  const changed = await tx.run('DELETE FROM commit_tags WHERE repo = ? AND name = ?', repo, tag)
  if (changed > 0) return
  await getRepo(tx, repo)
  throw new CommitTagNotFoundError(repo, tag)
}

async function tagPage(
  database: Database,
  repo: string | undefined,
  after: { readonly repo: string; readonly name: string } | undefined,
): Promise<readonly CommitTagRow[]> {
  const { repo: afterRepo = '', name: afterName = '' } = after ?? {}
  return database.read((tx) =>
    repo === undefined
      ? tx.all<CommitTagRow>(
          `SELECT ${commitTagColumns} FROM commit_tags WHERE (repo, name) > (?, ?)
            ORDER BY repo, name LIMIT ?`,
          afterRepo,
          afterName,
          pageMax,
        )
      : tx.all<CommitTagRow>(
          `SELECT ${commitTagColumns} FROM commit_tags WHERE repo = ? AND name > ?
            ORDER BY name LIMIT ?`,
          repo,
          afterName,
          pageMax,
        ),
  )
}

function tagInfo({ repo, name, id, tagged_at: taggedAt }: CommitTagRow): CommitTagInfo {
  return { repo, name, commit: id, taggedAt }
}
