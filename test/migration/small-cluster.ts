import { createHash } from 'node:crypto'
import { create, type DescMessage, type MessageInitShape, toBinary } from '@bufbuild/protobuf'
import { concatBytes, utf8 } from '../../src/base/bytes.ts'
import { readFile } from '../../src/client/file-transfers.ts'
import { CommitInfoSchema, CommitSchema, FileType, RepoInfoSchema } from '../../src/gen/pfs_pb.ts'
import { JobInfoSchema, JobState, PipelineInfoSchema } from '../../src/gen/pps_pb.ts'
import { type OldLayout, OldClusterWriter } from '../../src/testing/old-cluster-writer.ts'
import { oldText } from '../../src/testing/old-text.ts'
import type { TestPachd } from '../harness/test-pachd.ts'
import { expectSound } from './expect-sound.ts'

export interface SmallShape {
  readonly layout: OldLayout
  readonly isText: boolean
}

/** Commits of the small cluster; `w1` is open. */
export type SmallCommit = 'c1' | 'c2' | 'o1' | 'w1'
const digits: Readonly<Record<SmallCommit, string>> = { c1: 'c1', c2: 'c2', o1: '01', w1: 'ee' }
const commits = ['c1', 'c2', 'o1', 'w1'] as const
const jobId = 'abababab-abab-4bab-8bab-abababababab'
const salt = '5a175a17-5a17-45a1-85a1-5a175a175a17'
const pipelineId = 'id-of-out'
const transform = { image: 'busybox', cmd: ['cp'] }
const time = (seconds: number) => ({ seconds: BigInt(1_500_000_000 + seconds), nanos: 0 })
const sha256 = (...parts: readonly (string | Uint8Array)[]): Buffer => {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part)
  return hash.digest()
}

export function idOf(commit: SmallCommit): string {
  return digits[commit].repeat(16)
}

/**
 * A cluster of two commits of a repo, a third one that is open, a pipeline with its output, a job, and two
 * results of three datums: all that an old cluster has, once. Its parts may be changed before it is written.
 */
export class SmallCluster {
  readonly writer: OldClusterWriter
  /** What etcd is to hold, by key. */
  readonly records: Map<string, Uint8Array> = new Map()
  /** The objects of contents, by what they are called here, of trees and of results. */
  readonly objects: Map<string, string> = new Map()
  readonly tags: Map<string, string> = new Map()
  readonly #shape: SmallShape

  private constructor(directory: string, shape: SmallShape) {
    this.writer = new OldClusterWriter(directory, shape)
    this.#shape = shape
  }

  static async begin(directory: string, shape: SmallShape): Promise<SmallCluster> {
    const cluster = new SmallCluster(directory, shape)
    await cluster.writer.begin()
    await cluster.#fill()
    return cluster
  }

  async finish(): Promise<void> {
    for (const [key, value] of this.records) this.writer.raw(key, value)
    await this.writer.finish()
  }

  /** Puts a record, in place of what was there. */
  set<Schema extends DescMessage>(
    key: string,
    schema: Schema,
    init: MessageInitShape<Schema>,
  ): void {
    const message = create<Schema>(schema, init)
    const bytes = this.#shape.isText ? oldText(schema, message) : toBinary(schema, message)
    this.records.set(key, bytes)
  }

  setCommit(
    repo: string,
    name: 'c1' | 'c2' | 'o1',
    tree: { hash: string; sizeBytes: number },
  ): void {
    const of = (commit: SmallCommit) => ({ repo: { name: 'src' }, id: idOf(commit) })
    this.set(`pachyderm_pfs/commits/${repo}/${idOf(name)}`, CommitInfoSchema, {
      commit: { repo: { name: repo }, id: idOf(name) },
      started: time(1),
      finished: time(2),
      sizeBytes: BigInt(tree.sizeBytes),
      tree: { hash: tree.hash },
      ...(name === 'c2' && { parentCommit: of('c1') }),
      ...(name === 'o1' && { provenance: [of('c2')] }),
    })
  }

  /** Names in place of ids and hashes. */
  masked(text: string): string {
    let shown = text.replaceAll(this.writer.etcd, 'ETCD').replaceAll(this.writer.storage, 'STORAGE')
    for (const [name, tag] of this.tags) shown = shown.replaceAll(tag, `<tag ${name}>`)
    for (const [name, hash] of this.objects) shown = shown.replaceAll(hash, `<${name}>`)
    for (const name of commits) shown = shown.replaceAll(idOf(name), name)
    return shown.replaceAll(jobId, 'JOB').replaceAll(/block\/[0-9a-f]{32}/g, 'block/BLOCK')
  }

  async #object(name: string, text: string): Promise<string> {
    const hash = await this.writer.putObject(utf8(text))
    this.objects.set(name, hash)
    return hash
  }

  async #fill(): Promise<void> {
    const { writer } = this
    const [a, b, d] = [
      await this.#object('a', 'content of a'),
      await this.#object('b', 'content of b'),
      await this.#object('d', 'content of d'),
    ]
    const first = await writer.putTree(new Map([['/a', [a]], ['/b', [b]]])) // prettier-ignore
    const files = new Map([['/a', [a]], ['/b', [b]], ['/d', [d, a]]]) // prettier-ignore
    const second = await writer.putTree(files)
    const x = await this.#object('x', 'x of a')
    const y = await this.#object('y', 'y of b')
    const output = await writer.putTree(new Map([['/x', [x]], ['/y', [y]]])) // prettier-ignore
    for (const [name, { hash }] of Object.entries({ c1: first, c2: second, o1: output })) {
      this.objects.set(`tree ${name}`, hash)
    }
    this.set('pachyderm_pfs/repos/src', RepoInfoSchema, { repo: { name: 'src' } })
    const provenance = [{ name: 'src' }]
    this.set('pachyderm_pfs/repos/out', RepoInfoSchema, { repo: { name: 'out' }, provenance })
    this.setCommit('src', 'c1', first)
    this.setCommit('src', 'c2', second)
    this.setCommit('out', 'o1', output)
    const branches = [['src', 'master', 'c2'], ['src', 'old', 'c1'], ['out', 'master', 'o1'], ['src', 'wip', 'w1']] as const // prettier-ignore
    for (const [repo, branch, commit] of branches) {
      const head = { repo: { name: repo }, id: idOf(commit) }
      this.set(`pachyderm_pfs/branches/${repo}/${branch}`, CommitSchema, head)
    }
    await this.#openCommit()
    for (const [name, object, result] of [
      ['a', 'x', x],
      ['b', 'y', y],
    ] as const) {
      // prettier-ignore
      const { hash } = await writer.putTree(new Map([[`/${object}`, [result]]]))
      this.objects.set(`result ${name}`, hash)
      const tag = this.#tag(`/${name}`, second.nodes.get(`/${name}`)?.hash ?? utf8(''))
      this.tags.set(name, tag)
      await writer.putTag(tag, hash)
    }
    this.#pipeline()
  }

  async #openCommit(): Promise<void> {
    const commit = { repo: { name: 'src' }, id: idOf('w1') }
    this.set(`pachyderm_pfs/commits/src/${commit.id}`, CommitInfoSchema, {
      commit,
      parentCommit: { repo: { name: 'src' }, id: idOf('c2') },
      started: time(6),
    })
    const put = await this.#object('w', 'put into w')
    this.records.set(
      `pachyderm_pfs/scratch/src/${commit.id}/w/1`,
      scratchPut('put into w'.length, put),
    )
    this.records.set(`pachyderm_pfs/scratch/src/${commit.id}/b/2`, utf8('delete'))
  }

  #pipeline(): void {
    const atom = { name: 'src', repo: 'src', branch: 'master', glob: '/*' }
    const common = {
      pipeline: { name: 'out' },
      transform,
      outputBranch: 'master',
      ...(!this.#shape.isText && { salt }),
    }
    this.set('pachyderm_pps/pipelines/out', PipelineInfoSchema, {
      ...common,
      id: pipelineId,
      version: 1n,
      input: { atom },
      createdAt: time(3),
    })
    this.set(`pachyderm_pps/jobs/${jobId}`, JobInfoSchema, {
      ...common,
      job: { id: jobId },
      pipelineVersion: 1n,
      input: { atom: { ...atom, commit: idOf('c2') } },
      outputRepo: { name: 'out' },
      outputCommit: { repo: { name: 'out' }, id: idOf('o1') },
      started: time(4),
      finished: time(5),
      state: JobState.JOB_SUCCESS,
      dataProcessed: 2n,
      dataTotal: 3n,
    })
  }

  #tag(path: string, hash: Uint8Array): string {
    const member = concatBytes([utf8('src'), utf8(path), hash])
    if (!this.#shape.isText) {
      return sha256(salt).toString('hex').slice(0, 4) + sha256(member, 'out', salt).toString('hex')
    }
    const written = concatBytes([sized(1, transform.image), sized(2, 'cp')])
    const prefix = sha256(pipelineId).toString('hex').slice(0, 4)
    return prefix + sha256(member, written, 'out', pipelineId, '1').toString('hex')
  }
}

/** As 1.4.1 and later keep what was put into an open commit. */
export function scratchPut(sizeBytes: number, object: string): Uint8Array {
  return sized(2, concatBytes([Uint8Array.of(0x08, sizeBytes), sized(2, object)]))
}

/** A field of fewer than 2 KiB. */
export function sized(field: number, value: Uint8Array | string): Uint8Array {
  const bytes = typeof value === 'string' ? utf8(value) : value
  const { length } = bytes
  const size = length < 128 ? [length] : [(length % 128) | 128, Math.floor(length / 128)]
  return concatBytes([Uint8Array.of(field * 8 + 2, ...size), bytes])
}

/** All that a server has of the small cluster, a fact a line; it is sound. */
export async function factsOf(pachd: TestPachd): Promise<readonly string[]> {
  await expectSound(pachd)
  const facts: string[] = []
  for (const { repo, provenance } of (await pachd.pfs.listRepo({})).repoInfo) {
    const name = repo?.name ?? ''
    facts.push(`repo ${name} from [${provenance.map((from) => from.name).join()}]`)
    for (const { name: branch, head } of (await pachd.pfs.listBranch({ repo: { name } }))
      .branchInfo) {
      facts.push(`branch ${name}@${branch} is ${head?.id}`)
    }
    for (const info of (await pachd.pfs.listCommit({ repo: { name } })).commitInfo) {
      const commit = `${name}/${info.commit?.id}`
      const from = info.provenance.map(({ id }) => id).join()
      facts.push(`commit ${commit} after ${info.parentCommit?.id ?? 'none'} from [${from}]`)
      facts.push(...(await filesOf(pachd, name, info.commit?.id ?? '')))
    }
  }
  for (const { pipeline, version } of (await pachd.pps.listPipeline({})).pipelineInfo) {
    facts.push(`pipeline ${pipeline?.name} of version ${version}`)
  }
  for (const { job, pipeline, state } of (await pachd.pps.listJob({})).jobInfo) {
    facts.push(
      `job ${job?.id} of ${pipeline?.name}: ${state === JobState.JOB_SUCCESS ? 'success' : state}`,
    )
  }
  return facts.toSorted()
}

async function filesOf(pachd: TestPachd, repo: string, id: string): Promise<readonly string[]> {
  const commit = { repo: { name: repo }, id }
  const { fileInfo } = await pachd.pfs.listFile({ file: { commit, path: '/' } })
  return await Promise.all(
    fileInfo.map(async ({ file, fileType }) => {
      const path = file?.path ?? ''
      if (fileType === FileType.DIR) return `directory ${repo}/${id}:${path}`
      let text = ''
      for await (const piece of readFile(pachd.transport, { commit: { repo, id }, path })) {
        text += Buffer.from(piece).toString()
      }
      return `file ${repo}/${id}:${path} ${JSON.stringify(text)}`
    }),
  )
}
