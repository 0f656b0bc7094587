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
import { sizeText } from '../printing/sizes.ts'
import { Table } from '../printing/table.ts'

interface Words {
  readonly verb: string
  /** Such as `merged with 0123…`. */
  readonly past: string
  readonly nothing: string
}

export async function mergeBranch(context: CommandContext): Promise<void> {
  const [repo = '', from = '', into = ''] = context.args
  const change = await commitsClient(context).mergeBranch({
    from: { repo: { name: repo }, id: from },
    into,
    ...options(context),
  })
  await print(context, change, {
    verb: 'merge',
    past: `merged with ${from}`,
    nothing: `${into} has all of ${from} already`,
  })
}

export async function revertCommit(context: CommandContext): Promise<void> {
  const [repo = '', id = ''] = context.args
  const change = await commitsClient(context).revertCommit({
    commit: { repo: { name: repo }, id },
    branch: context.flags.text('branch'),
    ...options(context),
  })
  await print(context, change, {
    verb: 'revert',
    past: `without what ${id} changed`,
    nothing: `nothing of what ${id} changed is left to undo`,
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
    const paths = count === 1n ? 'one path' : `${count} paths`
    throw new FailedPreconditionError(
      `cannot ${words.verb}: both sides changed ${paths}, and nothing was done; change one side and try again, or decide with --prefer ours or --prefer theirs`,
    )
  }
  if (change.outcome === BranchOutcome.UNCHANGED) {
    await out.line(words.nothing)
    return
  }
  const would = isDry ? 'would be ' : ''
  const id = change.head?.id ?? ''
  const what =
    change.outcome === BranchOutcome.FAST_FORWARDED
      ? `${change.branch} ${would || 'is '}fast-forwarded to ${id}`
      : `${change.branch} ${isDry ? 'would be' : `is now ${id},`} ${words.past}`
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
