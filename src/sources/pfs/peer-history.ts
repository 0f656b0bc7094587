import type { MessageInitShape } from '@bufbuild/protobuf'
import type { Instant } from '../../base/clock.ts'
import { UnavailableError } from '../../base/errors.ts'
import type { Address } from '../../client/address.ts'
import { type Client, createClient } from '../../client/client.ts'
import type { Transport } from '../../client/transport.ts'
import {
  API,
  type CommitInfo,
  type ListCommitRequestSchema,
  type RepoInfo,
} from '../../gen/pfs_pb.ts'
import { PeerErrors } from './peer-calls.ts'

/** A repo of another server of ours. */
export interface PeerRepo {
  readonly name: string
  readonly createdAt: Instant
  readonly description: string
  /** Every repo that it is made from, near and far. */
  readonly provenance: readonly string[]
}

export interface PeerCommitName {
  readonly repo: string
  readonly id: string
}

/** A finished commit of another server of ours. */
export interface PeerCommitFacts extends PeerCommitName {
  readonly parent: string | undefined
  /** Every commit that it is made from, near and far. */
  readonly provenance: readonly PeerCommitName[]
  readonly startedAt: Instant
  readonly finishedAt: Instant
  /** The root of its tree. */
  readonly root: string
  readonly message: string
}

const commitsAtOnce = 1000n
const microsPerSecond = 1_000_000
const nanosPerMicro = 1000

/** What another server of ours knows of its repos. */
export class PeerHistory {
  readonly address: string
  readonly #pfs: Client<typeof API>
  readonly #errors: PeerErrors

  constructor(transport: Transport, address: Address) {
    this.#errors = new PeerErrors(address)
    this.address = this.#errors.address
    this.#pfs = createClient(API, transport)
  }

  async repos(signal: AbortSignal): Promise<readonly PeerRepo[]> {
    const { repoInfo } = await this.#errors.call(() => this.#pfs.listRepo({}, { signal }))
    return repoInfo.map(repoOf)
  }

  /** @throws {NotFoundError} */
  async repo(name: string, signal: AbortSignal): Promise<PeerRepo> {
    const request = { repo: { name } }
    return repoOf(await this.#errors.call(() => this.#pfs.inspectRepo(request, { signal })))
  }

  /** The heads of all branches, by name. */
  async branches(repo: string, signal: AbortSignal): Promise<ReadonlyMap<string, string>> {
    const request = { repo: { name: repo } }
    const { branchInfo } = await this.#errors.call(() => this.#pfs.listBranch(request, { signal }))
    return new Map(branchInfo.map(({ name, head }) => [name, head?.id ?? '']))
  }

  /** The commit and those before it, the newest first, but for one that is open. */
  async *line(name: string, head: string, signal: AbortSignal): AsyncGenerator<PeerCommitFacts> {
    const repo = { name }
    let from: string | undefined = head
    while (from !== undefined) {
      const page = await this.#page({ repo, to: { repo, id: from }, number: commitsAtOnce }, signal)
      for (const info of page) if (info.finished !== undefined) yield this.#factsOf(name, info)
      from = page.at(-1)?.parentCommit?.id
    }
  }

  async #page(
    request: MessageInitShape<typeof ListCommitRequestSchema>,
    signal: AbortSignal,
  ): Promise<readonly CommitInfo[]> {
    const answer = await this.#errors.call(() => this.#pfs.listCommit(request, { signal }))
    return answer.commitInfo
  }

  #factsOf(repo: string, info: CommitInfo): PeerCommitFacts {
    const { commit, parentCommit, provenance, started, finished, tree, message } = info
    if (commit === undefined || tree === undefined) {
      throw new UnavailableError(
        `pachd at ${this.address} answers with a commit of ${repo} that has no id, or no tree`,
      )
    }
    return {
      repo,
      id: commit.id,
      parent: parentCommit?.id,
      provenance: provenance.map((name) => ({ repo: name.repo?.name ?? '', id: name.id })),
      startedAt: instantOf(started),
      finishedAt: instantOf(finished),
      root: tree.hash,
      message,
    }
  }
}

function repoOf({ repo, created, description, provenance }: RepoInfo): PeerRepo {
  return {
    name: repo?.name ?? '',
    createdAt: instantOf(created),
    description,
    provenance: provenance.map(({ name }) => name),
  }
}

function instantOf(
  time: { readonly seconds: bigint; readonly nanos: number } | undefined,
): Instant {
  if (time === undefined) return 0
  return Number(time.seconds) * microsPerSecond + Math.floor(time.nanos / nanosPerMicro)
}
