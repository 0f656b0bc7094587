import type { Connection } from '../../database/sqlite/connection.ts'
import type { Files } from './expected-output.ts'

/** The repos that people write to; `log` is one to which files are only added. */
export const sourceRepos: readonly string[] = ['a', 'b', 'log']

export interface ModelCommit {
  readonly id: string
  readonly repo: string
  files: Files
  isFinished: boolean
}

/** What a call that a crash cut off may have done. */
type Uncertain =
  | { readonly kind: 'files'; readonly id: string; readonly after: Files }
  | { readonly kind: 'finish'; readonly id: string }
  /** So many commits, all or none. */
  | { readonly kind: 'new'; readonly count: number }
  | { readonly kind: 'deletion' }

/** What the server has acknowledged of source repos, commit by commit. */
export class SourceModel {
  readonly commits: Map<string, ModelCommit> = new Map()
  /** Of finished commits: the bytes of the files that each has added or changed, by id. */
  readonly addedBytes: Map<string, number> = new Map()
  uncertain: Uncertain | undefined
  /** Files of `log` are numbered. */
  logCount = 0

  get(id: string): ModelCommit {
    const commit = this.commits.get(id)
    if (commit === undefined) throw new Error(`the model does not know commit ${id}`)
    return commit
  }

  of(repo: string, isFinished: boolean): readonly ModelCommit[] {
    return [...this.commits.values()].filter(
      (commit) => commit.repo === repo && commit.isFinished === isFinished,
    )
  }

  add(commit: ModelCommit): void {
    this.commits.set(commit.id, commit)
  }

  /** Has `call` bring a commit to `after`. */
  async change(id: string, after: Files, call: () => Promise<void>): Promise<void> {
    this.uncertain = { kind: 'files', id, after }
    await call()
    this.get(id).files = after
    this.uncertain = undefined
  }

  async finish(id: string, call: () => Promise<unknown>): Promise<void> {
    this.uncertain = { kind: 'finish', id }
    await call()
    this.get(id).isFinished = true
    this.uncertain = undefined
  }

  /** Has `call` make at most so many commits, all or none of them, and tell what they are. */
  async make(count: number, call: () => Promise<readonly ModelCommit[]>): Promise<void> {
    this.uncertain = { kind: 'new', count }
    for (const commit of await call()) if (!this.commits.has(commit.id)) this.add(commit)
    this.uncertain = undefined
  }

  /** Of the commits that were finished since the last call, while their parents are as they were. */
  noteAddedBytes(rows: Connection): void {
    for (const { id, files, isFinished } of this.commits.values()) {
      if (!isFinished || this.addedBytes.has(id)) continue
      const row = rows.get<{ readonly parent: string | null }>(
        'SELECT parent FROM commits WHERE id = ?',
        [id],
      )
      const before = this.commits.get(row?.parent ?? '')?.files ?? new Map()
      let bytes = 0
      for (const [path, text] of files) if (before.get(path) !== text) bytes += text.length
      this.addedBytes.set(id, bytes)
    }
  }

  async remove(call: () => Promise<readonly string[]>): Promise<void> {
    this.uncertain = { kind: 'deletion' }
    for (const id of await call()) this.commits.delete(id)
    this.uncertain = undefined
  }

  /**
   * Finds out what became of the call that a crash cut off. What was acknowledged must be there as
   * it was; returns what is not so.
   */
  async reconcile(
    rows: Connection,
    filesOf: (repo: string, id: string) => Promise<Files>,
  ): Promise<string | undefined> {
    const { uncertain } = this
    this.uncertain = undefined
    const stored = storedCommits(rows)
    for (const { id, repo } of this.commits.values()) {
      if (stored.has(id)) continue
      if (uncertain?.kind !== 'deletion') return `commit ${repo}@${id} is gone`
      this.commits.delete(id)
    }
    const unknown = [...stored.values()].filter(({ id }) => !this.commits.has(id))
    const newCount = uncertain?.kind === 'new' ? uncertain.count : 0
    if (unknown.length > 0 && unknown.length !== newCount) {
      return `${unknown.length} commits are there that nobody made whole`
    }
    for (const { id, repo, isFinished } of unknown) {
      this.add({ id, repo, isFinished, files: await filesOf(repo, id) })
    }
    for (const { id, isFinished } of stored.values()) {
      const commit = this.get(id)
      if (commit.isFinished === isFinished) continue
      if (uncertain?.kind !== 'finish' || uncertain.id !== id) {
        return `commit ${commit.repo}@${id} is ${isFinished ? 'finished' : 'open'}, and should not be`
      }
      commit.isFinished = isFinished
    }
    if (uncertain?.kind === 'files') {
      const commit = this.get(uncertain.id)
      const files = await filesOf(commit.repo, commit.id)
      if (sameFiles(files, uncertain.after)) commit.files = uncertain.after
    }
    return undefined
  }
}

interface StoredCommit {
  readonly id: string
  readonly repo: string
  readonly isFinished: boolean
}

function storedCommits(rows: Connection): ReadonlyMap<string, StoredCommit> {
  const found = rows.all<{
    readonly id: string
    readonly repo: string
    readonly finished_at: number | null
  }>(
    `SELECT id, repo, finished_at FROM commits WHERE repo IN (${sourceRepos.map(() => '?').join(', ')})`,
    sourceRepos,
  )
  return new Map(
    found.map(({ id, repo, finished_at: at }) => [id, { id, repo, isFinished: at !== null }]),
  )
}

/** Of files alone: directories of source repos stay when they are empty. */
export function sameFiles(left: Files, right: Files): boolean {
  return textOf(left) === textOf(right)
}

function textOf(files: Files): string {
  const entries = [...files].filter(([path]) => !path.endsWith('/'))
  return JSON.stringify(entries.toSorted(([left], [right]) => (left < right ? -1 : 1)))
}
