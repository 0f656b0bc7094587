import { BinaryReader } from '@bufbuild/protobuf/wire'
import type { ByteStream } from '../base/bytes.ts'
import type { Clock } from '../base/clock.ts'
import { UnavailableError } from '../base/errors.ts'
import { type Address, addressText } from '../client/address.ts'
import { type Client, createClient } from '../client/client.ts'
import { RpcError } from '../client/rpc-error.ts'
import { getVersion } from '../client/version.ts'
import { API as Pfs, type CommitInfo, ObjectAPI } from '../gen/pfs_pb.ts'
import { API as Pps, type JobInfo } from '../gen/pps_pb.ts'
import { NodeTransport } from '../node-client/node-transport.ts'
import { OldDamageError, type OnDamage } from './damage.ts'
import type { OldCluster } from './old-cluster.ts'
import {
  isPlainTag,
  OldObjectNotFoundError,
  requireObjectHash,
  type OldObjects,
} from './old-objects.ts'
import {
  instantOfTime,
  type OldBranch,
  type OldCatalog,
  type OldCommit,
  type OldCommitName,
  type OldWrite,
  storableDescription,
} from './old-records.ts'

const advice = 'look whether the address is right, and can be reached from this server'
const notFound = /not found/
const pipelineIdField = 19

/**
 * A cluster of which only the server can be reached: what it lists, and its objects by their names.
 * What is in open commits, and who may do what, it does not say.
 */
export class ServedCluster implements OldCluster {
  readonly name: string
  readonly objects: OldObjects
  readonly #transport: NodeTransport
  readonly #signal: AbortSignal
  readonly #isText: boolean

  constructor(
    transport: NodeTransport,
    facts: { readonly name: string; readonly isText: boolean },
    signal: AbortSignal,
  ) {
    this.name = facts.name
    this.#isText = facts.isText
    this.#transport = transport
    this.#signal = signal
    this.objects = new ServedObjects(transport, facts.name, signal)
  }

  /** @throws {UnavailableError} @throws {OldDamageError} for a server of another version. */
  static async open(address: Address, clock: Clock, signal: AbortSignal): Promise<ServedCluster> {
    const transport = new NodeTransport(address, clock, { advice })
    const name = `pachd at ${addressText(address)}`
    try {
      const { major, minor, micro, additional } = await worded(name, () =>
        getVersion(transport, { signal }),
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
      return new ServedCluster(transport, { name, isText: minor === 4 }, signal)
    } catch (error) {
      await transport[Symbol.asyncDispose]()
      throw error
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#transport[Symbol.asyncDispose]()
  }

  async catalog(onDamage: OnDamage): Promise<OldCatalog> {
    const [pfs, pps] = [createClient(Pfs, this.#transport), createClient(Pps, this.#transport)]
    const options = { signal: this.#signal }
    const ask = <Answer>(call: () => Promise<Answer>): Promise<Answer> => worded(this.name, call)
    const { repoInfo } = await ask(() => pfs.listRepo({}, options))
    const commits: OldCommit[] = []
    const branches: OldBranch[] = []
    // Lists are newest first.
    let written = 0
    for (const { repo } of repoInfo) {
      const { commitInfo } = await ask(() => pfs.listCommit({ ...(repo && { repo }) }, options))
      for (const info of commitInfo.toReversed()) {
        written += 1
        try {
          commits.push(commitOf(info, written))
        } catch (error) {
          onDamage({
            kind: 'commit',
            what: `${repo?.name}/${info.commit?.id}`,
            reason: textOf(error),
          })
        }
      }
      const listed = await ask(() => pfs.listBranch({ ...(repo && { repo }) }, options))
      for (const { name, head } of listed.branchInfo.toReversed()) {
        written += 1
        branches.push({ repo: repo?.name ?? '', name, head: head?.id ?? '', written })
      }
    }
    const { pipelineInfo } = await ask(() => pps.listPipeline({}, options))
    const { jobInfo } = await ask(() => pps.listJob({}, options))
    return {
      repos: repoInfo.toReversed().map((info, index) => ({
        name: info.repo?.name ?? '',
        createdAt: instantOfTime(info.created) ?? 0,
        description: storableDescription(info.description),
        sizeBytes: Number(info.sizeBytes),
        provenance: info.provenance.map(({ name }) => name),
        written: index,
      })),
      commits,
      branches,
      pipelines: pipelineInfo
        .toReversed()
        .map((info, index) => ({ name: info.pipeline?.name ?? '', info, written: index })),
      jobs: jobInfo.toReversed().map((info, index) => ({
        id: info.job?.id ?? '',
        pipeline: info.pipeline?.name ?? '',
        info,
        pipelineId: pipelineIdOf(info),
        written: index,
      })),
      access: [],
      isText: this.#isText,
      lockCount: 0,
    }
  }

  writes({ repo, id }: OldCommitName, onDamage: OnDamage): Promise<readonly OldWrite[]> {
    const reason =
      'what was put into an open commit cannot be read through pachd: finish it there, or leave it out with --open-commits drop'
    onDamage({ kind: 'commit', what: `${repo}/${id}`, reason })
    return Promise.resolve([])
  }

  hasChanged(): Promise<boolean> {
    // A server does not say; the check that nothing runs is all that there is.
    return Promise.resolve(false)
  }
}

class ServedObjects implements OldObjects {
  readonly name: string
  readonly #client: Client<typeof ObjectAPI>
  readonly #signal: AbortSignal

  constructor(transport: NodeTransport, name: string, signal: AbortSignal) {
    this.name = name
    this.#client = createClient(ObjectAPI, transport)
    this.#signal = signal
  }

  async *read(hash: string): ByteStream {
    requireObjectHash(hash)
    try {
      for await (const { value } of this.#client.getObject({ hash }, { signal: this.#signal })) {
        yield value
      }
    } catch (error) {
      throw this.#worded(error, hash)
    }
  }

  async sizeBytes(hash: string): Promise<number> {
    requireObjectHash(hash)
    try {
      const { blockRef } = await this.#client.inspectObject({ hash }, { signal: this.#signal })
      return Number((blockRef?.range?.upper ?? 0n) - (blockRef?.range?.lower ?? 0n))
    } catch (error) {
      throw this.#worded(error, hash)
    }
  }

  async findTag(name: string): Promise<string | undefined> {
    if (!isPlainTag(name)) return undefined
    try {
      const { object } = await this.#client.inspectTag({ name }, { signal: this.#signal })
      return object?.hash
    } catch (error) {
      if (error instanceof RpcError && isAbsent(error)) return undefined
      throw this.#worded(error, name)
    }
  }

  async listTags(prefix: string): Promise<ReadonlySet<string> | undefined> {
    const found = new Set<string>()
    try {
      const options = { signal: this.#signal }
      for await (const { tag } of this.#client.listTags({ prefix }, options)) {
        if (tag !== '') found.add(tag)
      }
      return found
    } catch (error) {
      // 1.4.0 to 1.4.6 do not know the call, and servers that keep objects as files cannot answer it.
      if (error instanceof RpcError) return undefined
      throw error
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  #worded(error: unknown, what: string): unknown {
    if (!(error instanceof RpcError)) return error
    const text = `${this.name} says: ${error.message}`
    if (isAbsent(error)) return new OldObjectNotFoundError(`${text} (${what})`, { cause: error })
    return new UnavailableError(text, { cause: error })
  }
}

function isAbsent(error: RpcError): boolean {
  return notFound.test(error.message) || /no such file/.test(error.message)
}

async function worded<Answer>(name: string, ask: () => Promise<Answer>): Promise<Answer> {
  try {
    return await ask()
  } catch (error) {
    if (!(error instanceof RpcError)) throw error
    throw new UnavailableError(`${name} says: ${error.message}`, { cause: error })
  }
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
