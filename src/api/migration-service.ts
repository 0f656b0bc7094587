import type { MessageInitShape } from '@bufbuild/protobuf'
import { FailedPreconditionError, InvalidArgumentError } from '../base/errors.ts'
import { parseImportedBranchName } from '../base/names.ts'
import {
  Migrations,
  OpenCommits,
  type MigrateRequest,
  type MigrateResponseSchema,
  type MigrationCountsSchema,
} from '../gen/pachyderm_pb.ts'
import type {
  MigrationCounts,
  MigrationEvent,
  MigrationRequest,
  OpenCommitChoice,
} from '../migration/events.ts'
import type { ClusterMigrations, OldPlace } from '../migration/migrations.ts'
import type { SpecOf } from '../migration/ports.ts'
import { checkSpec } from '../pipelines/specs.ts'
import { service, type Route } from './grpc/service.ts'
import { timestampOf } from './pfs/messages.ts'
import { durationOf } from './pps/durations.ts'
import { specOfRequest } from './pps/spec-request.ts'

type Response = MessageInitShape<typeof MigrateResponseSchema>

/** Commits that are told in one message. */
const batchCommitsMax = 1000

export interface MigrationServicePorts {
  readonly migrations: ClusterMigrations
  /** The old cluster that whoever runs the server has named. */
  readonly configured: OldPlace | undefined
  /** Whether callers may name files of this machine, and any address. */
  readonly allowsAnyPlace: boolean
}

/** As a client's request for the pipeline would be read; its output branch keeps the name that it has. */
export const specOfOldPipeline: SpecOf = (request, now) =>
  checkSpec(specOfRequest(request), now, parseImportedBranchName)

/** pachyderm.Migrations. */
export function migrationRoutes(ports: MigrationServicePorts): readonly Route[] {
  return service(Migrations, {
    async *migrate(request, { signal }) {
      const asked = requestOf(request, ports)
      let batch: Extract<MigrationEvent, { readonly kind: 'commit' }>['commit'][] = []
      for await (const event of ports.migrations.run(asked, signal)) {
        if (event.kind === 'commit') {
          batch.push(event.commit)
          if (batch.length < batchCommitsMax) continue
        }
        if (batch.length > 0) yield commitsMessage(batch)
        batch = []
        if (event.kind !== 'commit') yield messageOf(event)
      }
    },

    async abandonMigration() {
      return { found: await ports.migrations.abandon() }
    },
  })
}

function requestOf(request: MigrateRequest, ports: MigrationServicePorts): MigrationRequest {
  return {
    place: placeOf(request, ports),
    from: request.from,
    isDryRun: request.dryRun,
    isForced: request.force,
    skipsDamaged: request.skipDamaged,
    openCommits: choices[request.openCommits] ?? 'finish',
    unfinishedJobs: request.killUnfinishedJobs ? 'kill' : 'restart',
    keepsPaused: request.keepPaused,
  }
}

const choices: Readonly<Record<OpenCommits, OpenCommitChoice>> = {
  [OpenCommits.UNSPECIFIED]: 'finish',
  [OpenCommits.FINISH]: 'finish',
  [OpenCommits.KEEP]: 'keep',
  [OpenCommits.DROP]: 'drop',
}

function placeOf(
  { etcd, storage, pachd, pachdToken, pfsPrefix, ppsPrefix }: MigrateRequest,
  { configured, allowsAnyPlace }: MigrationServicePorts,
): OldPlace {
  if (etcd === '' && storage === '' && pachd === '') {
    if (configured !== undefined) return configured
    throw new InvalidArgumentError(
      'it is not said which cluster to migrate: give --etcd and --storage, or --pachd, or start pachd with --old-etcd and --old-storage; a data directory of ours is brought up to date by pachctl migrate --root DIR',
    )
  }
  if (!allowsAnyPlace) {
    throw new FailedPreconditionError(
      'this server was started with --sources, and migrates only the cluster that its own configuration names: start it with --old-etcd and --old-storage',
    )
  }
  if (pachd !== '') {
    if (!/^[\x21-\x7e]*$/.test(pachdToken)) {
      throw new InvalidArgumentError(
        'what was given as the token of the old pachd is none: it has blanks, or bytes that no token has',
      )
    }
    if (etcd === '' && storage === '') return { kind: 'server', address: pachd, token: pachdToken }
    throw new InvalidArgumentError(
      'a cluster is read from its stores or through its pachd, not both: give --etcd and --storage, or --pachd',
    )
  }
  if (etcd === '' || storage === '') {
    throw new InvalidArgumentError(
      `a cluster has two stores, and ${etcd === '' ? '--etcd' : '--storage'} is missing: say where ${etcd === '' ? 'its etcd, or a snapshot of it,' : 'its objects'} can be read`,
    )
  }
  const prefixes = { pfs: pfsPrefix, pps: ppsPrefix }
  return { kind: 'stores', etcd, storage, prefixes }
}

function messageOf(event: Exclude<MigrationEvent, { readonly kind: 'commit' }>): Response {
  switch (event.kind) {
    case 'progress': {
      const { stage, done, total, counts } = event
      return {
        event: {
          case: 'progress',
          value: {
            stage,
            done: BigInt(done),
            total: BigInt(total),
            counts: countsMessage(counts),
          },
        },
      }
    }
    case 'damage':
      return { event: { case: 'damage', value: { ...event.damage } } }
    case 'notice':
      return { event: { case: 'notice', value: event.text } }
    case 'end': {
      const { source, isDryRun, counts, tookMs, estimate, completedAt } = event
      return {
        event: {
          case: 'summary',
          value: {
            source,
            dryRun: isDryRun,
            counts: countsMessage(counts),
            took: durationOf(Math.round(tookMs)),
            ...(completedAt !== undefined && { completed: timestampOf(completedAt) }),
            ...(estimate && {
              estimated: durationOf(Math.round(estimate.leastMs)),
              estimatedFrom: estimate.reason,
            }),
          },
        },
      }
    }
  }
}

function commitsMessage(
  commits: readonly Extract<MigrationEvent, { readonly kind: 'commit' }>['commit'][],
): Response {
  const messages = commits.map(({ repo, id, root, oldTree, sizeBytes, fileCount }) => ({
    commit: { repo: { name: repo }, id },
    tree: root,
    oldTree,
    sizeBytes: BigInt(sizeBytes),
    fileCount: BigInt(fileCount),
  }))
  return { event: { case: 'commits', value: { commits: messages } } }
}

function countsMessage(
  counts: Readonly<MigrationCounts>,
): MessageInitShape<typeof MigrationCountsSchema> {
  return {
    repos: BigInt(counts.repos),
    commits: BigInt(counts.commits),
    openCommits: BigInt(counts.openCommits),
    branches: BigInt(counts.branches),
    files: BigInt(counts.files),
    bytes: BigInt(counts.bytes),
    objects: BigInt(counts.objects),
    objectBytes: BigInt(counts.objectBytes),
    pipelines: BigInt(counts.pipelines),
    jobs: BigInt(counts.jobs),
    results: BigInt(counts.results),
    access: BigInt(counts.access),
    damaged: BigInt(counts.damaged),
  }
}
