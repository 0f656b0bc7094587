import { FailedPreconditionError } from '../../base/errors.ts'
import {
  type BranchChange,
  BranchOutcome,
  type ConflictSide,
  DiffKind,
  Preference,
} from '../../gen/pachyderm_pb.ts'
import { FileType } from '../../gen/pfs_pb.ts'
import type { CommandContext } from '../command.ts'
import { UsageError } from '../errors.ts'
import { commitsClient } from '../own-clients.ts'
import { sizeText } from '../../base/sizes.ts'
import { Table } from '../printing/table.ts'

interface Words {
  /** Behind `master is now 0123…,`, such as `merged with dev`. */
  readonly done: string
  /** Behind `master would`, such as `be merged with dev`. */
  readonly would: string
  readonly nothing: string
  /** Why there are conflicts, in `count` paths, and what the preferences mean. */
  readonly conflict: (paths: string) => string
}

export async function mergeBranch(context: CommandContext): Promise<void> {
  const [repo = '', from = '', target = ''] = context.args
  const into = branchOf(repo, target)
  const change = await commitsClient(context).mergeBranch({
    from: { repo: { name: repo }, id: from },
    into,
    ...options(context),
  })
  await print(context, change, {
    done: `merged with ${from}`,
    would: `be merged with ${from}`,
    nothing: `${into} has all of ${from} already`,
    conflict: (paths) =>
      `cannot merge ${from} into ${into}: both changed ${paths}, and nothing was done; change one of them and merge again, or decide with --prefer ours (as in ${into}) or --prefer theirs (as in ${from})`,
  })
}

/** A branch of `repo`, by its name or as `REPO@BRANCH`. */
function branchOf(repo: string, text: string): string {
  if (!text.startsWith(`${repo}@`)) {
    if (!text.includes('@')) return text
    throw new UsageError(
      `cannot merge into ${text}: only a branch of ${repo}, where the merged one is, can be named here`,
    )
  }
  return text.slice(repo.length + 1)
}

export async function revertCommit(context: CommandContext): Promise<void> {
  const [repo = '', id = ''] = context.args
  const change = await commitsClient(context).revertCommit({
    commit: { repo: { name: repo }, id },
    branch: context.flags.text('branch'),
    ...options(context),
  })
  // A branch may have moved on by now: its commit is what is told.
  const undone = change.base?.id ?? id
  await print(context, change, {
    done: `which undoes ${undone}`,
    would: `get a commit that undoes ${undone}`,
    nothing: `${change.branch} has nothing left of what ${undone} changed`,
    conflict: (paths) =>
      `cannot undo ${undone}: ${paths} changed in ${change.branch} since, and nothing was done; decide with --prefer ours (as it is now) or --prefer theirs (as it was before that commit)`,
  })
}

function options({ flags }: CommandContext): {
  readonly message: string
  readonly dryRun: boolean
  readonly prefer: Preference
} {
  const prefer = preferenceOf(flags.text('prefer'))
  return { message: flags.text('message'), dryRun: flags.isOn('dry-run'), prefer }
}

function preferenceOf(text: string): Preference {
  if (text === '') return Preference.UNSPECIFIED
  if (text === 'ours') return Preference.OURS
  if (text === 'theirs') return Preference.THEIRS
  throw new UsageError(`--prefer takes ours or theirs, not ${JSON.stringify(text)}`)
}

async function print(context: CommandContext, change: BranchChange, words: Words): Promise<void> {
  const { flags, out } = context
  const isDry = flags.isOn('dry-run')
  await printConflicts(context, change)
  if (change.outcome === BranchOutcome.CONFLICTED) {
    const { conflictCount: count } = change
    throw new FailedPreconditionError(words.conflict(count === 1n ? 'one path' : `${count} paths`))
  }
  if (change.outcome === BranchOutcome.UNCHANGED) {
    await out.line(words.nothing)
    return
  }
  const id = change.head?.id ?? ''
  if (change.outcome === BranchOutcome.UNSPECIFIED) {
    // Part of a transaction: the commit that it will make.
    await out.line(id)
    return
  }
  const isForwarded = change.outcome === BranchOutcome.FAST_FORWARDED
  const would = isForwarded ? `be fast-forwarded to ${id}` : words.would
  const done = isForwarded ? `fast-forwarded to ${id}` : `now ${id}, ${words.done}`
  const what = `${change.branch} ${isDry ? `would ${would}` : `is ${done}`}`
  await out.line(`${what}; files: ${filesText(change)}`)
}

function filesText({ addedFiles, changedFiles, removedFiles }: BranchChange): string {
  return `${addedFiles} added, ${changedFiles} changed, ${removedFiles} removed`
}

async function printConflicts(
  { out }: CommandContext,
  { conflicts, conflictCount }: BranchChange,
): Promise<void> {
  if (conflictCount === 0n) return
  const table = new Table(out)
  table.add('CONFLICT', 'OURS', 'THEIRS')
  for (const { path, ours, theirs } of conflicts) table.add(path, sideText(ours), sideText(theirs))
  await table.flush()
  const others = conflictCount - BigInt(conflicts.length)
  if (others > 0n) await out.line(`and ${others} more`)
}

function sideText(side: ConflictSide | undefined): string {
  if (side === undefined || side.kind === DiffKind.REMOVED) return 'removed'
  const did = side.kind === DiffKind.ADDED ? 'added' : 'changed'
  const what = side.fileType === FileType.FILE ? 'file' : 'directory'
  return `${did}, ${what} of ${sizeText(side.sizeBytes)}`
}
