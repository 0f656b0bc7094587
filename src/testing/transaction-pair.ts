import type { BranchChange } from '../versioning/branch-changes.ts'
import { type CommitInfo } from '../versioning/commit-records.ts'
import { MergeConflictError, NothingToRevertError } from '../versioning/errors.ts'
import type { Operation } from '../versioning/operations.ts'
import type { TestVersioning } from './test-versioning.ts'

/** Does what an operation says by the call of its own. */
export async function applyAlone(world: TestVersioning, operation: Operation): Promise<void> {
  const { branches, branchChanges, commits, commitTags, copies, repos, writes } = world.versioning
  switch (operation.kind) {
    case 'create-repo':
      return repos.create(operation)
    case 'delete-repo':
      return repos.delete(operation.name, operation)
    case 'start-commit':
      await commits.start(operation)
      return
    case 'finish-commit':
      await commits.finish(operation.repo, operation.commit)
      return
    case 'delete-commit':
      return commits.delete(operation.repo, operation.commit)
    case 'set-branch':
      return branches.set(operation.repo, operation.branch, operation.commit)
    case 'delete-branch':
      return branches.delete(operation.repo, operation.branch)
    case 'delete-file':
      return writes.delete(operation)
    case 'put-file':
      return writes.put(operation, operation.bytes, operation)
    case 'copy-file':
      await copies.copy(operation, operation.to, operation)
      return
    case 'move-file':
      await copies.move(operation, operation.to, { overwrite: operation.mode === 'overwrite' })
      return
    case 'merge-branch': {
      const { message, prefer } = operation
      const change = await branchChanges.merge(operation, { message, dryRun: false, prefer })
      requireDone(change)
      return
    }
    case 'revert-commit': {
      const { message, prefer, branch } = operation
      const names = { ...operation, branch }
      const change = await branchChanges.revert(names, { message, dryRun: false, prefer })
      requireDone(change)
      if (change.outcome === 'unchanged') throw new NothingToRevertError(change.repo, '')
      return
    }
    case 'tag-commit':
      await commitTags.set(operation)
      return
    case 'delete-commit-tag':
      return commitTags.delete(operation.repo, operation.tag)
    default:
      operation satisfies never
  }
}

/** A transaction is refused for conflicts, which a call of its own lists. */
function requireDone({ outcome, conflicts, conflictCount }: BranchChange): void {
  if (outcome !== 'conflicted') return
  throw new MergeConflictError(
    conflicts.map(({ path }) => path),
    conflictCount,
  )
}

/** Everything that `names` hold, with commits told by what they are, since ids are chance. */
export async function stateOf(
  world: TestVersioning,
  names: readonly string[],
): Promise<readonly object[]> {
  const states: object[] = []
  for (const name of names) {
    const repo = await world.versioning.repos.inspect(name).catch(() => undefined)
    if (repo === undefined) continue
    const { description, provenance, sizeBytes } = repo
    const heads = await world.versioning.branches.list(name)
    const branches: Record<string, string> = {}
    for (const { name: branch, head } of heads.toSorted(byName)) {
      branches[branch] = await commitText(world, name, head)
    }
    const commits: string[] = []
    for await (const { id } of world.versioning.commits.list({ repo: name })) {
      commits.push(await commitText(world, name, id))
    }
    commits.sort()
    const tags: Record<string, string> = {}
    for await (const { name: tag, commit } of world.versioning.commitTags.list(name)) {
      tags[tag] = await commitText(world, name, commit)
    }
    states.push({ name, description, provenance, sizeBytes, branches, commits, tags })
  }
  return states
}

/** A commit as its files, those of what was merged into it, and its line of parents. */
export async function commitText(world: TestVersioning, repo: string, id: string): Promise<string> {
  const commit: CommitInfo = await world.versioning.commits.inspect(repo, id)
  const { parent, mergeParents, state } = commit
  const merged = await Promise.all(mergeParents.map((other) => filesText(world, repo, other)))
  const before = parent === undefined ? '' : await commitText(world, repo, parent)
  const files = await filesText(world, repo, id)
  return `${state.kind} ${files} with {${merged.join(', ')}} after (${before})`
}

async function filesText(world: TestVersioning, repo: string, commit: string): Promise<string> {
  const files: string[] = []
  for await (const { path, hash } of world.versioning.files.walk({ repo, commit, path: '' })) {
    files.push(`${path} ${Buffer.from(hash).toString('hex')}`)
  }
  return `[${files.join(', ')}]`
}

function byName(left: { readonly name: string }, right: { readonly name: string }): number {
  return left.name < right.name ? -1 : 1
}
