import type { MessageInitShape } from '@bufbuild/protobuf'
import type { Instant } from '../../base/clock.ts'
import { UnavailableError } from '../../base/errors.ts'
import { Code } from '../../base/grpc-wire.ts'
import type { Address } from '../../client/address.ts'
import { type Client, createClient } from '../../client/client.ts'
import { RpcError } from '../../client/rpc-error.ts'
import type { Transport } from '../../client/transport.ts'
import {
  API,
  type CommitInfo,
  type ListCommitRequestSchema,
  type RepoInfo,
} from '../../gen/pfs_pb.ts'
import { Commits } from '../../gen/pachyderm_pb.ts'
import type { ChunkOrigin } from '../../storage/offered-contents.ts'
import type {
  PeerCommitFacts,
  PeerCommitName,
  PeerRepo,
  PeerTag,
  PullOrigin,
} from '../pull-origin.ts'
import { OwnContents } from './own-contents.ts'
import { PeerErrors } from './peer-calls.ts'

const commitsAtOnce = 1000n
const microsPerSecond = 1_000_000
const nanosPerMicro = 1000

/** What another server of ours knows of its repos. */
export class PeerHistory implements PullOrigin {
  readonly address: string
  readonly #transport: Transport
  readonly #pfs: Client<typeof API>
  readonly #commits: Client<typeof Commits>
  readonly #errors: PeerErrors

  /** @param address a text is for people. */
  constructor(transport: Transport, address: Address | string) {
    this.#errors = new PeerErrors(address)
    this.address = this.#errors.address
    this.#transport = transport
    this.#pfs = createClient(API, transport)
    this.#commits = createClient(Commits, transport)
  }

  async repos(signal: AbortSignal): Promise<readonly PeerRepo[]> {
    const { repoInfo } = await this.#errors.call(() => this.#pfs.listRepo({}, { signal }))
    return repoInfo.map(repoOf)
  }

  async repo(name: string, signal: AbortSignal): Promise<PeerRepo> {
    const request = { repo: { name } }
    return repoOf(await this.#errors.call(() => this.#pfs.inspectRepo(request, { signal })))
  }

  async branches(repo: string, signal: AbortSignal): Promise<ReadonlyMap<string, string>> {
    const request = { repo: { name: repo } }
    const { branchInfo } = await this.#errors.call(() => this.#pfs.listBranch(request, { signal }))
    return new Map(branchInfo.map(({ name, head }) => [name, head?.id ?? '']))
  }

  async *tags(name: string, signal: AbortSignal): AsyncGenerator<PeerTag> {
    const batches = this.#commits.listCommitTags({ repo: { name } }, { signal })
    for await (const { tags } of this.#errors.stream(batches)) {
      for (const { tag, commit, tagged } of tags) {
        yield { name: tag, commit: commit?.id ?? '', taggedAt: instantOf(tagged) }
      }
    }
  }

  async *commits(name: string, signal: AbortSignal): AsyncGenerator<PeerCommitName> {
    const batches = this.#commits.listCommits({ repo: { name } }, { signal })
    try {
      for await (const { commitInfo } of this.#errors.stream(batches)) {
        for (const { commit, finished } of commitInfo) {
          if (finished !== undefined) yield { repo: name, id: commit?.id ?? '' }
        }
      }
    } catch (error) {
      // An older pachctl that pushes does not pass that call on.
      if (!(error instanceof RpcError && error.code === Code.permissionDenied)) throw error
    }
  }

  contentsOf(commit: PeerCommitName): ChunkOrigin {
    return new OwnContents(this.#transport, this.#errors, commit)
  }

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
    const { commit, parentCommit, mergeParents, provenance, started, finished, tree, message } =
      info
    if (commit === undefined || tree === undefined) {
      throw new UnavailableError(
        `pachd at ${this.address} answers with a commit of ${repo} that has no id, or no tree`,
      )
    }
    return {
      repo,
      id: commit.id,
      parent: parentCommit?.id,
      mergeParents: mergeParents.map(({ id }) => id),
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
