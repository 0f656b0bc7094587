import { createHash, type Hash } from 'node:crypto'
import { BinaryReader } from '@bufbuild/protobuf/wire'
import type { Clock, Instant } from '../../base/clock.ts'
import { NotFoundError, UnavailableError } from '../../base/errors.ts'
import type { Address } from '../../client/address.ts'
import { type Client, createClient } from '../../client/client.ts'
import type { Transport } from '../../client/transport.ts'
import { getVersion } from '../../client/version.ts'
import { API as Pfs, type BranchInfo, type CommitInfo, type RepoInfo } from '../../gen/pfs_pb.ts'
import { API as Pps, type JobInfo, type PipelineInfo, PipelineState } from '../../gen/pps_pb.ts'
import { NodeTransport } from '../../node-client/node-transport.ts'
import { OldDamageError, type OnDamage } from '../damage.ts'
import type { OldCluster } from '../old-cluster.ts'
import type { OldObjects } from '../old-objects.ts'
import {
  instantOfTime,
  type OldBranch,
  type OldCatalog,
  type OldCommit,
  type OldCommitName,
  type OldWrite,
  storableDescription,
} from '../old-records.ts'
import { accessLists, isAccessControlled } from './served-access.ts'
import { ServedCalls } from './served-calls.ts'
import { ServedObjects } from './served-objects.ts'

const advice = 'look whether the address is right, and can be reached from this server'
const pipelineIdField = 19

/** What a server lists: all that it keeps of one repo, or all pipelines and jobs. Newest first. */
type Listing =
  | {
      readonly kind: 'repo'
      readonly repo: RepoInfo
      readonly commits: readonly CommitInfo[]
      readonly branches: readonly BranchInfo[]
    }
  | {
      readonly kind: 'pipelines'
      readonly pipelines: readonly PipelineInfo[]
      readonly jobs: readonly JobInfo[]
    }

/**
 * A cluster of which only the server can be reached: what it lists, and its objects by their names.
 * What is in open commits, who administers it, and which locks are held, it does not say.
 */
export class ServedCluster implements OldCluster {
  readonly name: string
  readonly objects: OldObjects
  readonly #calls: ServedCalls
  readonly #pfs: Client<typeof Pfs>
  readonly #pps: Client<typeof Pps>
  readonly #version: string
  /** What `catalog` was told. */
  #fingerprint = ''

  private constructor(calls: ServedCalls, version: string) {
    this.name = calls.name
    this.#version = version
    this.#calls = calls
    this.#pfs = createClient(Pfs, calls.transport)
    this.#pps = createClient(Pps, calls.transport)
    this.objects = new ServedObjects(calls)
  }

  /** @throws {UnavailableError} also for a server of another version. */
  static async open(
    caller: { readonly address: Address; readonly token: string },
    { clock, signal }: { readonly clock: Clock; readonly signal: AbortSignal },
  ): Promise<ServedCluster> {
    await using opened = new AsyncDisposableStack()
    const transport: Transport = opened.use(new NodeTransport(caller.address, clock, { advice }))
    const calls = new ServedCalls(transport, caller, signal)
    const { name } = calls
    const { major, minor, micro, additional } = await calls.ask((options) =>
      getVersion(transport, options),
    )
    if (major !== 1 || (minor !== 4 && minor !== 5)) {
      throw new UnavailableError(
        `${name} is of version ${major}.${minor}.${micro}: clusters of 1.4 and 1.5 are migrated whole; from 1.3, put the files with history: pachctl put-file REPO BRANCH -r -f pfs://…`,
      )
    }
    if (additional.startsWith('ts-')) {
      throw new UnavailableError(
        `${name} is no old cluster, but a server like this one: its files can be put here with history, pachctl put-file REPO BRANCH --history -f pfs://…`,
      )
    }
    opened.move()
    return new ServedCluster(calls, `${major}.${minor}.${micro}`)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#calls.transport[Symbol.asyncDispose]()
  }

  async catalog(onDamage: OnDamage): Promise<OldCatalog> {
    const isControlled = await isAccessControlled(this.#calls)
    const repos: RepoInfo[] = []
    const commits: OldCommit[] = []
    const branches: OldBranch[] = []
    let [pipelines, jobs]: [readonly PipelineInfo[], readonly JobInfo[]] = [[], []]
    let written = 0
    const hash = createHash('sha256')
    for await (const listing of this.#listings()) {
      addFacts(hash, listing)
      if (listing.kind === 'pipelines') {
        ;({ pipelines, jobs } = listing)
        continue
      }
      const repo = listing.repo.repo?.name ?? ''
      repos.push(listing.repo)
      for (const info of listing.commits.toReversed()) {
        written += 1
        try {
          commits.push(commitOf(info, written))
        } catch (error) {
          onDamage({ kind: 'commit', what: `${repo}/${info.commit?.id}`, reason: textOf(error) })
        }
      }
      for (const { name, head } of listing.branches.toReversed()) {
        written += 1
        branches.push({ repo, name, head: head?.id ?? '', written })
      }
    }
    if (repos.length === 0) {
      throw new NotFoundError(`${this.name} has no repos, and so there is nothing to migrate`)
    }
    this.#fingerprint = hash.digest('hex')
    const repoNames = repos.map(({ repo }) => repo?.name ?? '')
    return {
      repos: repos.toReversed().map((info, index) => ({
        name: info.repo?.name ?? '',
        createdAt: instantOfTime(info.created) ?? 0,
        description: storableDescription(info.description),
        sizeBytes: Number(info.sizeBytes),
        provenance: info.provenance.map(({ name }) => name),
        written: index,
      })),
      commits: inOrderOfWrites(commits),
      branches,
      pipelines: pipelines
        .toReversed()
        .map((info, index) => ({ name: info.pipeline?.name ?? '', info, written: index })),
      jobs: jobs.toReversed().map((info, index) => ({
        id: info.job?.id ?? '',
        pipeline: info.pipeline?.name ?? '',
        info,
        pipelineId: pipelineIdOf(info),
        written: index,
      })),
      access: isControlled ? await accessLists(this.#calls, repoNames) : [],
      isAccessControlled: isControlled,
      version: this.#version,
      pipelinesElsewhere: [],
      lockCount: 0,
      awakePipelines: pipelines.filter(isAwake).map(({ pipeline }) => pipeline?.name ?? ''),
    }
  }

  writes({ repo, id }: OldCommitName, onDamage: OnDamage): Promise<readonly OldWrite[]> {
    const reason =
      'what was put into an open commit cannot be read through pachd: finish it there, or leave it out with --open-commits drop'
    onDamage({ kind: 'commit', what: `${repo}/${id}`, reason })
    return Promise.resolve([])
  }

  async hasChanged(): Promise<boolean> {
    const hash = createHash('sha256')
    for await (const listing of this.#listings()) addFacts(hash, listing)
    return hash.digest('hex') !== this.#fingerprint
  }

  async *#listings(): AsyncGenerator<Listing> {
    const [calls, pfs, pps] = [this.#calls, this.#pfs, this.#pps]
    const { repoInfo } = await calls.ask((options) => pfs.listRepo({}, options))
    for (const info of repoInfo) {
      const repo = { ...(info.repo && { repo: info.repo }) }
      const { commitInfo } = await calls.ask((options) => pfs.listCommit(repo, options))
      const { branchInfo } = await calls.ask((options) => pfs.listBranch(repo, options))
      yield { kind: 'repo', repo: info, commits: commitInfo, branches: branchInfo }
    }
    const { pipelineInfo } = await calls.ask((options) => pps.listPipeline({}, options))
    const { jobInfo } = await calls.ask((options) => pps.listJob({}, options))
    yield { kind: 'pipelines', pipelines: pipelineInfo, jobs: jobInfo }
  }
}

/**
 * Repos are listed one by one. Each keeps the order of its commits, and they are put between those of
 * others by their ends: so each comes after what it was made from, as in the records themselves.
 */
function inOrderOfWrites(commits: readonly OldCommit[]): readonly OldCommit[] {
  const lastIn = new Map<string, Instant>()
  const placed = commits.map((commit) => {
    const at = Math.max(lastIn.get(commit.repo) ?? 0, commit.finishedAt ?? commit.startedAt)
    lastIn.set(commit.repo, at)
    return { commit, at }
  })
  return placed.toSorted((left, right) => left.at - right.at).map(({ commit }) => commit)
}

/** What is another when somebody has written; maps and counters come in any order, and are left out. */
function addFacts(hash: Hash, listing: Listing): void {
  const add = (...facts: readonly unknown[]): void => {
    hash.update(`${JSON.stringify(facts.map(String))}\n`)
  }
  if (listing.kind === 'pipelines') {
    for (const { pipeline, version, state } of listing.pipelines)
      add(pipeline?.name, version, state)
    for (const { job, state, restart } of listing.jobs) add(job?.id, state, restart)
    return
  }
  add(listing.repo.repo?.name, listing.repo.sizeBytes)
  for (const { commit, finished, tree } of listing.commits) {
    add(commit?.id, finished?.seconds, tree?.hash)
  }
  for (const { name, head } of listing.branches) add(name, head?.id)
}

function isAwake({ state }: PipelineInfo): boolean {
  return state !== PipelineState.PIPELINE_PAUSED && state !== PipelineState.PIPELINE_FAILURE
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

function commitOf(info: CommitInfo, written: number): OldCommit {
  const finishedAt = instantOfTime(info.finished)
  const tree = info.tree?.hash ?? ''
  if (finishedAt !== undefined && tree === '') {
    throw new OldDamageError('it is finished, and has no tree')
  }
  return {
    repo: info.commit?.repo?.name ?? '',
    id: info.commit?.id ?? '',
    parent: info.parentCommit?.id,
    startedAt: instantOfTime(info.started) ?? 0,
    finishedAt,
    sizeBytes: Number(info.sizeBytes),
    tree: finishedAt === undefined ? undefined : tree,
    provenance: info.provenance.map(({ repo, id }) => ({ repo: repo?.name ?? '', id })),
    written,
  }
}

/** Of 1.4: a field that 1.5 does not have. */
function pipelineIdOf(info: JobInfo): string {
  const field = info.$unknown?.find(({ no }) => no === pipelineIdField)
  return field === undefined ? '' : new BinaryReader(field.data).string()
}
