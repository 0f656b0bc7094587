import { hexText, utf8, utf8Text } from '../base/bytes.ts'
import { JobInfoSchema, PipelineInfoSchema } from '../gen/pps_pb.ts'
import { CommitInfoSchema, CommitSchema, RepoInfoSchema } from '../gen/pfs_pb.ts'
import { NotFoundError } from '../base/errors.ts'
import { WireReader } from '../base/wire-reader.ts'
import type { OnDamage, DamageKind } from './damage.ts'
import type { OldCluster } from './old-cluster.ts'
import type { OldMetadata, StoredRecord } from './etcd/old-metadata.ts'
import type { OldObjects } from './old-objects.ts'
import {
  instantOfTime,
  type OldAccess,
  type OldBranch,
  type OldCatalog,
  type OldCommit,
  type OldCommitName,
  type OldJob,
  type OldPipeline,
  type OldRepo,
  type OldWrite,
  storableDescription,
} from './old-records.ts'
import { decodeRecord } from './records/decode-message.ts'
import { isTextMessage } from './records/text-proto.ts'

/** What the keys of a cluster begin with; a deployment may have chosen others. */
export interface KeyPrefixes {
  readonly pfs: string
  readonly pps: string
}

export const usualPrefixes: KeyPrefixes = { pfs: 'pachyderm_pfs', pps: 'pachyderm_pps' }

/** What a snapshot has to be read for: indexes are left out. */
export function isWantedKey({ pfs, pps }: KeyPrefixes): (key: string) => boolean {
  const wanted = [
    ...['repos', 'commits', 'branches', 'scratch', 'auth'].map((part) => `${pfs}/${part}/`),
    ...['pipelines', 'jobs', '_master_lock', '_master_worker_lock'].map(
      (part) => `${pps}/${part}/`,
    ),
  ]
  return (key) => wanted.some((prefix) => key.startsWith(prefix)) && !isIndexKey(key)
}

/** An index of commits lies below them. */
function isIndexKey(key: string): boolean {
  return key.includes('__index_{')
}

const tombstone = utf8('delete')
/** Prefixes that are named to whoever gave another one. */
const shownCountMax = 10

/** A cluster whose metadata store and objects are read where they lie. */
export class StoredCluster implements OldCluster {
  readonly name: string
  readonly objects: OldObjects
  readonly #metadata: OldMetadata
  readonly #prefixes: KeyPrefixes

  constructor(metadata: OldMetadata, objects: OldObjects, prefixes: KeyPrefixes) {
    this.#metadata = metadata
    this.#prefixes = prefixes
    this.objects = objects
    this.name = `${metadata.name} with ${objects.name}`
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.objects[Symbol.asyncDispose]()
    await this.#metadata[Symbol.asyncDispose]()
  }

  async catalog(onDamage: OnDamage): Promise<OldCatalog> {
    const { pfs, pps } = this.#prefixes
    const read = async <Result>(
      kind: DamageKind,
      prefix: string,
      parse: (record: StoredRecord, name: string) => Result,
    ): Promise<readonly Result[]> => {
      const found: Result[] = []
      const records = await this.#metadata.list(prefix)
      // While they are told in other words, they are held once.
      this.#metadata.forget([prefix])
      for (const record of records) {
        if (isIndexKey(record.key)) continue
        try {
          found.push(parse(record, record.key.slice(prefix.length)))
        } catch (error) {
          onDamage({
            kind,
            what: record.key,
            reason: `the record cannot be read: ${textOf(error)}`,
          })
        }
      }
      return found
    }
    const first = (await this.#metadata.list(`${pfs}/repos/`))[0]
    if (first === undefined) throw await this.#nothing()
    const locks = [
      ...(await this.#metadata.list(`${pps}/_master_lock/`)),
      ...(await this.#metadata.list(`${pps}/_master_worker_lock/`)),
    ]
    const access = await read('access', `${pfs}/auth/`, accessOf)
    const pipelines = await read('pipeline', `${pps}/pipelines/`, pipelineOf)
    const jobs = await read('job', `${pps}/jobs/`, jobOf)
    const isWithout = pipelines.length + jobs.length === 0
    return {
      repos: await read('repo', `${pfs}/repos/`, repoOf),
      commits: await read('commit', `${pfs}/commits/`, commitOf),
      branches: await read('branch', `${pfs}/branches/`, branchOf),
      pipelines,
      jobs,
      access,
      isAccessControlled: access.some(({ kind }) => kind === 'admin'),
      version: isTextMessage(first.value) ? '1.4' : '1.5',
      pipelinesElsewhere: isWithout ? await this.#prefixesOf('pipelines', pps) : [],
      lockCount: locks.length,
      awakePipelines: [],
    }
  }

  /** Why nothing would come, and what there is instead. */
  async #nothing(): Promise<NotFoundError> {
    const { pfs, pps } = this.#prefixes
    const what = `no key of ${this.#metadata.name} begins with ${pfs}/repos/, and so there is nothing to migrate`
    const ofRepos = await this.#prefixesOf('repos', pfs)
    if (ofRepos.length > 0) {
      const ofPipelines = await this.#prefixesOf('pipelines', pps)
      const pipelines =
        ofPipelines.length === 0
          ? ''
          : `, and of pipelines with ${ofPipelines.join(', ')}: give one as --pps-prefix`
      return new NotFoundError(
        `${what}; keys of repos begin with ${ofRepos.join(', ')}: give one as --pfs-prefix${pipelines}`,
      )
    }
    const beginnings = await this.#metadata.beginnings()
    if (beginnings.length === 0) return new NotFoundError(`${what}; it holds nothing at all`)
    const shown = beginnings.slice(0, shownCountMax).map((beginning) => JSON.stringify(beginning))
    const more = beginnings.length > shownCountMax ? ' and others' : ''
    return new NotFoundError(
      `${what}; keys begin with ${shown.join(', ')}${more}: it is of a cluster without repos, or of something else`,
    )
  }

  /** Those of deployments whose keys say `part`, other than `given`. */
  async #prefixesOf(part: 'repos' | 'pipelines', given: string): Promise<readonly string[]> {
    const end = `/${part}/`
    return (await this.#metadata.beginnings())
      .filter((beginning) => beginning.endsWith(end))
      .map((beginning) => beginning.slice(0, -end.length))
      .filter((prefix) => prefix !== given)
      .slice(0, shownCountMax)
  }

  async writes({ repo, id }: OldCommitName, onDamage: OnDamage): Promise<readonly OldWrite[]> {
    const prefix = `${this.#prefixes.pfs}/scratch/${repo}/${id}/`
    const writes: OldWrite[] = []
    for (const record of await this.#metadata.list(prefix)) {
      const rest = record.key.slice(prefix.length)
      const path = rest.slice(0, Math.max(0, rest.lastIndexOf('/')))
      try {
        writes.push({ path, change: changeOf(record.value) })
      } catch (error) {
        const reason = `a write to the open commit ${repo}/${id} cannot be read: ${textOf(error)}`
        onDamage({ kind: 'commit', what: record.key, reason })
      }
    }
    return writes
  }

  async hasChanged(): Promise<boolean> {
    const { pfs, pps } = this.#prefixes
    const parts = ['repos', 'commits', 'branches', 'scratch'].map((part) => `${pfs}/${part}/`)
    return await this.#metadata.hasChanged([...parts, `${pps}/pipelines/`, `${pps}/jobs/`])
  }
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

function required(text: string | undefined, what: string): string {
  if (text === undefined || text === '') throw new Error(`it has no ${what}`)
  return text
}

function repoOf({ value, modRevision }: StoredRecord, name: string): OldRepo {
  const { message } = decodeRecord(RepoInfoSchema, value)
  requireSame(required(message.repo?.name, 'name'), name)
  return {
    name,
    createdAt: instantOfTime(message.created) ?? 0,
    description: storableDescription(message.description),
    sizeBytes: Number(message.sizeBytes),
    provenance: message.provenance.map((repo) => repo.name),
    written: modRevision,
  }
}

function requireSame(inRecord: string, inKey: string): void {
  if (inRecord !== inKey) throw new Error(`it is about ${JSON.stringify(inRecord)}`)
}

function commitOf({ value, modRevision }: StoredRecord, name: string): OldCommit {
  const { message } = decodeRecord(CommitInfoSchema, value)
  const repo = required(message.commit?.repo?.name, 'repo')
  const id = required(message.commit?.id, 'id')
  requireSame(`${repo}/${id}`, name)
  const finishedAt = instantOfTime(message.finished)
  const tree = message.tree?.hash
  if (finishedAt !== undefined && (tree === undefined || tree === '')) {
    throw new Error('it is finished, and has no tree')
  }
  return {
    repo,
    id,
    parent: message.parentCommit?.id,
    startedAt: instantOfTime(message.started) ?? 0,
    finishedAt,
    sizeBytes: Number(message.sizeBytes),
    tree: finishedAt === undefined ? undefined : tree,
    provenance: message.provenance.map((from) => ({ repo: from.repo?.name ?? '', id: from.id })),
    written: modRevision,
  }
}

function branchOf({ value, modRevision }: StoredRecord, name: string): OldBranch {
  const { message } = decodeRecord(CommitSchema, value)
  const slash = name.indexOf('/')
  const [repo, branch] = [name.slice(0, slash), name.slice(slash + 1)]
  requireSame(message.repo?.name ?? '', repo)
  return {
    repo,
    name: required(branch, 'name'),
    head: required(message.id, 'head'),
    written: modRevision,
  }
}

function pipelineOf({ value, modRevision }: StoredRecord, name: string): OldPipeline {
  const { message: info } = decodeRecord(PipelineInfoSchema, value)
  requireSame(required(info.pipeline?.name, 'name'), name)
  return { name, info, written: modRevision }
}

function jobOf({ value, modRevision }: StoredRecord, id: string): OldJob {
  const { message: info, extras } = decodeRecord(JobInfoSchema, value)
  requireSame(required(info.job?.id, 'id'), id)
  const extra = extras.get('pipeline_id')?.value
  return {
    id,
    pipeline: required(info.pipeline?.name, 'pipeline'),
    info,
    pipelineId: extra?.kind === 'text' ? utf8Text(extra.bytes) : '',
    written: modRevision,
  }
}

function accessOf({ value }: StoredRecord, name: string): OldAccess {
  const slash = name.indexOf('/')
  const kinds = { admins: 'admin', tokens: 'token', acls: 'acl' } as const
  const folder = name.slice(0, slash)
  if (!Object.hasOwn(kinds, folder)) throw new Error(`${folder} is no part of access control`)
  return { kind: kinds[folder as keyof typeof kinds], name: name.slice(slash + 1), value }
}

/** A record of what was put (1.4.1 and later), `delete`, or size and object as text (1.4.0). */
function changeOf(value: Uint8Array): OldWrite['change'] {
  if (hexText(value) === hexText(tombstone)) return { kind: 'delete' }
  const text = /^(\d+) ([0-9a-f]{128})$/.exec(Buffer.from(value).toString('latin1'))
  if (text !== null) {
    const record = { sizeBytes: Number(text[1]), object: text[2] ?? '' }
    return { kind: 'put', isSplit: false, records: [record] }
  }
  const [splitTag, recordsTag] = [0x08, 0x12]
  const reader = new WireReader([value])
  const records: OldPut[] = []
  let isSplit = false
  while (!reader.atEnd) {
    switch (reader.tag()) {
      case splitTag:
        isSplit = reader.bool()
        break
      case recordsTag:
        records.push(putOf(reader))
        break
      default:
        reader.skip()
    }
  }
  return { kind: 'put', isSplit, records }
}

type OldPut = Extract<OldWrite['change'], { readonly kind: 'put' }>['records'][number]

function putOf(reader: WireReader): OldPut {
  const [sizeTag, objectTag] = [0x08, 0x12]
  let sizeBytes = 0
  let object = ''
  reader.message(() => {
    switch (reader.tag()) {
      case sizeTag:
        sizeBytes = Number(reader.int64())
        break
      case objectTag:
        object = reader.string()
        break
      default:
        reader.skip()
    }
  })
  return { sizeBytes, object }
}
