import type { Migrations } from '../database/database.ts'

const firstStep: readonly string[] = [
  // One row: the last number given to a write of a repo, branch or commit; orders lists by it.
  `CREATE TABLE versioning_sequence (
    one INTEGER NOT NULL PRIMARY KEY,
    last INTEGER NOT NULL
  )`,
  `INSERT INTO versioning_sequence (one, last) VALUES (1, 0)`,

  `CREATE TABLE repos ( -- clustered
    name TEXT NOT NULL PRIMARY KEY,
    description TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL,
    written INTEGER NOT NULL
  )`,
  `CREATE INDEX repos_by_written ON repos (written)`,

  // The transitive closure; direct = 1 for the edges that were given.
  `CREATE TABLE repo_provenance ( -- clustered
    repo TEXT NOT NULL,
    ancestor TEXT NOT NULL,
    direct INTEGER NOT NULL,
    PRIMARY KEY (repo, ancestor)
  )`,
  `CREATE INDEX repo_provenance_by_ancestor ON repo_provenance (ancestor, repo)`,

  `CREATE TABLE branches ( -- clustered
    repo TEXT NOT NULL,
    name TEXT NOT NULL,
    head TEXT NOT NULL,
    written INTEGER NOT NULL,
    PRIMARY KEY (repo, name)
  )`,
  `CREATE INDEX branches_by_head ON branches (head)`,

  // finished_at is null while the commit is open; then root, size_bytes and file_count are, too.
  // staged_last numbers the staged writes; puts wait while now < sealed_until.
  `CREATE TABLE commits ( -- clustered
    id TEXT NOT NULL PRIMARY KEY,
    repo TEXT NOT NULL,
    parent TEXT,
    started_at INTEGER NOT NULL,
    finished_at INTEGER,
    root TEXT,
    size_bytes INTEGER,
    file_count INTEGER,
    written INTEGER NOT NULL,
    staged_last INTEGER NOT NULL,
    sealed_until INTEGER NOT NULL
  )`,
  `CREATE INDEX commits_by_repo ON commits (repo, written)`,
  `CREATE INDEX commits_by_root ON commits (root)`,

  `CREATE TABLE commit_provenance ( -- clustered
    id TEXT NOT NULL,
    ancestor TEXT NOT NULL,
    ancestor_repo TEXT NOT NULL,
    direct INTEGER NOT NULL,
    PRIMARY KEY (id, ancestor)
  )`,
  `CREATE INDEX commit_provenance_by_ancestor ON commit_provenance (ancestor, id)`,

  // Layout of the columns: docs/formats/staged-writes.md.
  `CREATE TABLE staged_writes (
    id TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    path_key BYTES NOT NULL,
    payload BYTES NOT NULL,
    PRIMARY KEY (id, sequence)
  )`,
]

/** What deletions, merges and reverts ask for. */
const changesStep: readonly string[] = [
  // What the repo's size grew by when the commit was finished; null in commits of earlier releases.
  'ALTER TABLE commits ADD COLUMN added_bytes INTEGER',
  'CREATE INDEX commits_by_parent ON commits (parent)',

  // Commits whose changes a merge brought in, besides those of its parent.
  `CREATE TABLE merge_parents ( -- clustered
    id TEXT NOT NULL,
    parent TEXT NOT NULL,
    PRIMARY KEY (id, parent)
  )`,
  'CREATE INDEX merge_parents_by_parent ON merge_parents (parent)',
]

/** What people say of commits, and the names that stay at them. */
const namesStep: readonly string[] = [
  // Empty: nothing was said.
  `ALTER TABLE commits ADD COLUMN message TEXT NOT NULL DEFAULT ''`,

  `CREATE TABLE commit_tags ( -- clustered
    repo TEXT NOT NULL,
    name TEXT NOT NULL,
    id TEXT NOT NULL,
    tagged_at INTEGER NOT NULL,
    PRIMARY KEY (repo, name)
  )`,
  `CREATE INDEX commit_tags_by_id ON commit_tags (id)`,
]

/** Staged writes may be of kind 7, which programs that do not know this step cannot read. */
const splitsStep: readonly string[] = []

/** What transfers that failed had brought. */
const transfersStep: readonly string[] = [
  // root: a tree whose files are what was kept.
  `CREATE TABLE kept_transfers ( -- clustered
    key TEXT NOT NULL PRIMARY KEY,
    kept_at INTEGER NOT NULL,
    root TEXT NOT NULL,
    size_bytes INTEGER NOT NULL,
    file_count INTEGER NOT NULL
  )`,
]

/** That something was deleted since chunks were collected. */
const deletionsStep: readonly string[] = [
  // One row, once anything was. deleted: how often; collected: what that was when the last collection
  // began that came to its end.
  `CREATE TABLE deletion_notes (
    one INTEGER NOT NULL PRIMARY KEY,
    deleted INTEGER NOT NULL,
    collected INTEGER NOT NULL
  )`,
]

/** Files that come in parts, over several calls. */
const uploadsStep: readonly string[] = [
  `CREATE TABLE uploads ( -- clustered
    id TEXT NOT NULL PRIMARY KEY,
    repo TEXT NOT NULL,
    branch TEXT NOT NULL,
    path TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    touched_at INTEGER NOT NULL
  )`,
  'CREATE INDEX uploads_by_place ON uploads (repo, branch, path, id)',

  // content: docs/formats/staged-writes.md, "content".
  `CREATE TABLE upload_parts (
    upload TEXT NOT NULL,
    number INTEGER NOT NULL,
    put_at INTEGER NOT NULL,
    content BYTES NOT NULL,
    PRIMARY KEY (upload, number)
  )`,
]

/** Lists of branches are put into order by when they were last written, as those of repos and commits. */
const branchOrderStep: readonly string[] = [
  'CREATE INDEX branches_by_written ON branches (repo, written)',
]

/** Repos that are gone, and rows of whose commits may still be there. */
const deletedReposStep: readonly string[] = [
  `CREATE TABLE deleted_repos ( -- clustered
    name TEXT NOT NULL PRIMARY KEY
  )`,
]

/** Branches that follow others from time to time. */
const triggersStep: readonly string[] = [
  // noted: the last head of the source that was looked at; the added_… are what came up to it.
  `CREATE TABLE branch_triggers ( -- clustered
    repo TEXT NOT NULL,
    branch TEXT NOT NULL,
    source TEXT NOT NULL,
    owner TEXT NOT NULL,
    size_bytes INTEGER NOT NULL,
    commit_count INTEGER NOT NULL,
    schedule TEXT NOT NULL,
    is_all INTEGER NOT NULL,
    noted TEXT,
    added_bytes INTEGER NOT NULL,
    added_count INTEGER NOT NULL,
    last_tick INTEGER NOT NULL,
    has_ticked INTEGER NOT NULL,
    PRIMARY KEY (repo, branch)
  )`,
  'CREATE INDEX branch_triggers_by_source ON branch_triggers (repo, source)',
  'CREATE INDEX branch_triggers_by_owner ON branch_triggers (owner)',
]

/** A repo of the same name as one that is gone does not wait until the rows of that are gone, too. */
const namesakesStep: readonly string[] = [
  // made: the number that the repo's first write had. Its commits have greater ones; others of that
  // repo's name are of a repo that is gone.
  'ALTER TABLE repos ADD COLUMN made INTEGER NOT NULL DEFAULT 0',
  // written: commits of that name up to this number are of repos that are gone.
  'ALTER TABLE deleted_repos ADD COLUMN written INTEGER NOT NULL DEFAULT 0',
  'UPDATE deleted_repos SET written = (SELECT last FROM versioning_sequence WHERE one = 1)',
]

/** Commits that go when whoever opened them does. */
const heldStep: readonly string[] = [
  // part_count: the staged writes that a later one of the holder's is to complete.
  `CREATE TABLE held_commits ( -- clustered
    id TEXT NOT NULL PRIMARY KEY,
    repo TEXT NOT NULL,
    part_count INTEGER NOT NULL
  )`,
]

/** What became of uploads, for callers whose answer was lost. */
const endedUploadsStep: readonly string[] = [
  `CREATE TABLE ended_uploads ( -- clustered
    id TEXT NOT NULL PRIMARY KEY,
    repo TEXT NOT NULL,
    branch TEXT NOT NULL,
    path TEXT NOT NULL,
    commit_id TEXT NOT NULL,
    is_open INTEGER NOT NULL,
    hash BYTES NOT NULL,
    size_bytes INTEGER NOT NULL,
    ended_at INTEGER NOT NULL
  )`,
  'CREATE INDEX ended_uploads_by_end ON ended_uploads (ended_at)',
]

export const versioningMigrations: Migrations = {
  layer: 'versioning',
  steps: [
    firstStep,
    changesStep,
    namesStep,
    splitsStep,
    transfersStep,
    deletionsStep,
    uploadsStep,
    branchOrderStep,
    deletedReposStep,
    triggersStep,
    namesakesStep,
    heldStep,
    endedUploadsStep,
  ],
}
