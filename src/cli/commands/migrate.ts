import { resolve } from 'node:path'
import { DataLossError, UnavailableError } from '../../base/errors.ts'
import {
  MigrateRequestSchema,
  type MigratedCommit,
  type MigrateRequest,
  type MigrateResponse,
  type MigrationCounts,
  type MigrationDamage,
  type MigrationProgress,
  type MigrationSummary,
  OpenCommits,
} from '../../gen/pachyderm_pb.ts'
import { create } from '@bufbuild/protobuf'
import { RpcError } from '../../client/rpc-error.ts'
import { isGone } from '../backing-up/server-restart.ts'
import type { CommandContext } from '../command.ts'
import { UsageError } from '../errors.ts'
import { migrationsClient } from '../own-clients.ts'
import { requireMigratedVersions } from '../parsing/migrated-versions.ts'
import { secretText } from '../parsing/secret-text.ts'
import type { Clock } from '../../base/clock.ts'
import { sizeText } from '../../base/sizes.ts'
import { createReport } from '../printing/migration-report.ts'
import { ageText, goDurationText } from '../printing/times.ts'
import { StatusLine } from '../printing/status-line.ts'
import { withStoreWaits } from '../store-waits.ts'

/**
 * Brings an old cluster here, and says what has come; fails when something of it is damaged. With a data
 * directory of ours, brings that to the tables of this release, or back.
 */
export async function migrate(context: CommandContext): Promise<void> {
  const { flags, out } = context
  if (flags.text('root') !== '') {
    await upgradeOurs(context)
    return
  }
  if (flags.isOn('undo')) throw new UsageError('--undo goes with --root, which is missing')
  requireMigratedVersions(flags.text('from'), flags.text('to'))
  if (flags.isOn('abandon')) {
    const { found } = await migrationsClient(context).abandonMigration({})
    await out.line(
      found
        ? 'what the migration had brought is forgotten; garbage-collect frees its space'
        : 'there is no migration that was not completed',
    )
    return
  }
  const request = await requestOf(context)
  const isDryRun = request.dryRun
  await using report = isDryRun ? undefined : await createReport(flags.text('report'))
  const line = new StatusLine(context)
  let damageCount = 0
  let summary: MigrationSummary | undefined
  try {
    for await (const { event } of eventsOf(context, request)) {
      switch (event.case) {
        case 'progress':
          line.show(progressText(event.value))
          break
        case 'damage':
          damageCount += 1
          line.clear()
          await out.line(damageText(event.value))
          await report?.add({ damage: factsOf(event.value) })
          break
        case 'notice':
          line.clear()
          await out.line(`note: ${event.value}`)
          await report?.add({ note: event.value })
          break
        case 'commits':
          for (const commit of event.value.commits)
            await report?.add({ commit: commitFacts(commit) })
          break
        case 'summary':
          summary = event.value
          break
        case undefined:
      }
    }
  } finally {
    line.clear()
  }
  if (summary === undefined)
    throw new UnavailableError('the migration ended before it was complete')
  for (const text of summaryLines(summary, context.clock)) await out.line(text)
  if (report !== undefined) {
    await report.add({ summary: summaryFacts(summary) })
    const kept = await report.complete()
    await out.line(`report: ${flags.text('report')}`)
    if (kept !== undefined) await out.line(`the report that was there before is kept as ${kept}`)
  }
  // Of a migration that is told again, the server counted more than it has kept.
  damageCount = Math.max(damageCount, Number(summary.counts?.damaged ?? 0))
  if (damageCount === 0) return
  throw new DataLossError(
    isDryRun
      ? `${counted(damageCount, 'thing')} of the old cluster cannot be brought over`
      : `${counted(damageCount, 'thing')} of the old cluster could not be brought over, and ${damageCount === 1 ? 'was' : 'were'} left out; all else has come`,
  )
}

/** What the server tells of a migration. A connection that is lost meanwhile ends it, and loses nothing. */
async function* eventsOf(
  context: CommandContext,
  request: MigrateRequest,
): AsyncGenerator<MigrateResponse> {
  let isBegun = false
  try {
    const responses = migrationsClient(context).migrate(request)
    for await (const response of withStoreWaits(context, [request.storage], responses)) {
      isBegun = true
      yield response
    }
  } catch (error) {
    if (!isBegun || !(error instanceof RpcError) || !isGone(error)) throw error
    const { code, kind, message } = error
    const advice = request.dryRun
      ? 'a dry run changes nothing: run it again'
      : 'nothing of the old cluster is seen here before all of it is, and what has come is kept: run the same command again, and it goes on'
    throw new RpcError(code, `${message}; ${advice}`, {
      cause: error,
      ...(kind !== undefined && { kind }),
    })
  }
}

const ofOldClusters = {
  values: ['from', 'to', 'etcd', 'storage', 'pachd', 'pfs-prefix', 'pps-prefix'],
  switches: ['skip-damaged', 'force', 'kill-unfinished-jobs', 'keep-paused', 'abandon'],
} as const

async function upgradeOurs({ flags, out, upgradeStore }: CommandContext): Promise<void> {
  const { values, switches } = ofOldClusters
  const other =
    values.find((name) => flags.text(name) !== '') ?? switches.find((name) => flags.isOn(name))
  if (other !== undefined) {
    throw new UsageError(
      `--root is a data directory of this server's, which knows its version itself, and --${other} is of old clusters: give one of the two`,
    )
  }
  const [isLook, isUndo] = [flags.isOn('dry-run'), flags.isOn('undo')]
  if (isLook && isUndo)
    throw new UsageError('--dry-run says what an upgrade does: leave out --undo')
  const kind = isUndo ? 'undo' : isLook ? 'look' : 'upgrade'
  for await (const line of upgradeStore(resolve(flags.text('root')), kind)) await out.line(line)
}

const openCommitChoices: Readonly<Record<string, OpenCommits>> = {
  finish: OpenCommits.FINISH,
  keep: OpenCommits.KEEP,
  drop: OpenCommits.DROP,
}

async function requestOf({ flags, environment }: CommandContext): Promise<MigrateRequest> {
  const openCommits = openCommitChoices[flags.text('open-commits')]
  if (openCommits === undefined) {
    throw new UsageError(
      `--open-commits ${JSON.stringify(flags.text('open-commits'))} is none of finish, keep and drop`,
    )
  }
  return create(MigrateRequestSchema, {
    etcd: placeText(flags.text('etcd')),
    storage: placeText(flags.text('storage')),
    pachd: flags.text('pachd'),
    ...(flags.text('pachd') !== '' && { pachdToken: await tokenOf({ flags, environment }) }),
    pfsPrefix: flags.text('pfs-prefix'),
    ppsPrefix: flags.text('pps-prefix'),
    from: flags.text('from'),
    dryRun: flags.isOn('dry-run'),
    force: flags.isOn('force'),
    skipDamaged: flags.isOn('skip-damaged'),
    openCommits,
    killUnfinishedJobs: flags.isOn('kill-unfinished-jobs'),
    keepPaused: flags.isOn('keep-paused'),
  })
}

/** Never an argument, which everybody on the machine could read. */
async function tokenOf({
  flags,
  environment,
}: Pick<CommandContext, 'flags' | 'environment'>): Promise<string> {
  const file = flags.text('pachd-token-file')
  return (file === '' ? (environment['PACHD_TOKEN'] ?? '') : await secretText(file)).trim()
}

/** A path, seen from here, where it is one: the server reads it, which may stand elsewhere. */
function placeText(place: string): string {
  const isElsewhere =
    place === '' ||
    place.includes('://') ||
    /^(?:[A-Za-z0-9._-]+|\[[0-9a-fA-F:]+\]):\d{1,5}$/.test(place)
  return isElsewhere ? place : resolve(place)
}

function progressText({ stage, done, total, counts }: MigrationProgress): string {
  const part = total === 0n ? '' : ` ${done} of ${total}`
  const read = counts === undefined ? '' : `, ${sizeText(counts.objectBytes)} read`
  return `${stage}${part}${read}`
}

function damageText({ kind, what, reason }: MigrationDamage): string {
  return `damaged: ${kind} ${what}: ${reason}`
}

function summaryLines(summary: MigrationSummary, clock: Clock): readonly string[] {
  const { completed, counts, dryRun, estimated, estimatedFrom, source, took } = summary
  if (counts === undefined) return []
  const lines = [
    completed === undefined
      ? `${dryRun ? 'would migrate' : 'migrated'} ${source}`
      : `already migrated, ${ageText(completed, clock)}: ${source}`,
    `  ${counts.repos} repos, ${counts.branches} branches, ${counts.commits} commits (${counts.openCommits} open)`,
    `  ${counts.files} files in all commits, ${sizeText(counts.bytes)}`,
    `  ${counts.objects} contents${dryRun ? '' : ' read'}, ${sizeText(counts.objectBytes)}`,
    `  ${counts.pipelines} pipelines, ${counts.jobs} jobs, ${counts.results} results of datums`,
  ]
  if (counts.access > 0n) lines.push(`  ${counts.access} of users, tokens and access lists`)
  if (counts.damaged > 0n) lines.push(`  ${counts.damaged} damaged`)
  if (took !== undefined && completed === undefined) lines.push(`took ${goDurationText(took)}`)
  if (dryRun && estimated !== undefined) {
    lines.push(`a migration takes at least ${goDurationText(estimated)}: ${estimatedFrom}`)
  }
  return lines
}

function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`
}

function factsOf({ kind, what, reason }: MigrationDamage): Readonly<Record<string, string>> {
  return { kind, what, reason }
}

function commitFacts(commit: MigratedCommit): Readonly<Record<string, string | number>> {
  return {
    repo: commit.commit?.repo?.name ?? '',
    id: commit.commit?.id ?? '',
    tree: commit.tree,
    oldTree: commit.oldTree,
    sizeBytes: Number(commit.sizeBytes),
    fileCount: Number(commit.fileCount),
  }
}

function summaryFacts({ source, counts }: MigrationSummary): Readonly<Record<string, unknown>> {
  return { source, ...(counts !== undefined && numbersOf(counts)) }
}

function numbersOf(counts: MigrationCounts): Readonly<Record<string, number>> {
  return Object.fromEntries(
    Object.entries(counts).flatMap(([name, value]) =>
      typeof value === 'bigint' ? [[name, Number(value)]] : [],
    ),
  )
}
