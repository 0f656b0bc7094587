import { createHash } from 'node:crypto'
import { create, toBinary } from '@bufbuild/protobuf'
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { concatBytes, utf8 } from '../../src/base/bytes.ts'
import { OpenCommits } from '../../src/gen/pachyderm_pb.ts'
import { CommitInfoSchema, CommitSchema, RepoInfoSchema } from '../../src/gen/pfs_pb.ts'
import {
  JobInfoSchema,
  type JobInfo,
  JobState,
  PipelineInfoSchema,
  type PipelineInfo,
  PipelineState,
  TransformSchema,
} from '../../src/gen/pps_pb.ts'
import { oldText } from '../../src/testing/old-text.ts'
import {
  type OldFiles,
  type OldNodes,
  OldClusterWriter,
} from '../../src/testing/old-cluster-writer.ts'
import { TemporaryDirectory } from '../../src/testing/temporary-directory.ts'
import { getText } from '../harness/files.ts'
import { TestPachd } from '../harness/test-pachd.ts'
import { migrate } from './migrate.ts'

/** What stands beside known fields in records of some release of 1.4, and of none. */
const pipelineOddities = [
  '',
  'stopped:true ',
  'gc_policy:<success:<seconds:86400 > failure:<seconds:86400 > > ',
  'unheard_of:"\\303\\274\\"" also:<deep:<er:-1.5 > > ',
] as const
/** The same of jobs; one says which pipeline of that name it was of. */
const jobOddities: readonly ((pipelineId: string) => string)[] = [
  () => '',
  () => 'error:"it \\"broke\\"" ',
  (pipelineId) => `stopped:true pipeline_id:"${pipelineId}" `,
]

const pipelines = fc.record({
  env: fc.uniqueArray(fc.constantFrom('A', 'PATH_TO', 'ü', 'z'), { maxLength: 3 }),
  spelling: fc.constantFrom('inputs', 'input', 'cross'),
  oddity: fc.nat(pipelineOddities.length - 1),
  jobOddity: fc.nat(jobOddities.length - 1),
  isRunning: fc.boolean(),
  version: fc.integer({ min: 1, max: 12 }),
  description: fc.string({ unit: 'grapheme', maxLength: 20 }),
  /** Datums that have a result, by the place of their file. */
  done: fc.uniqueArray(fc.nat(3)),
  hasFailed: fc.boolean(),
  outputBranch: fc.constantFrom('master', 'out-put'),
})
type OldPipelineCase = typeof pipelines extends fc.Arbitrary<infer Case> ? Case : never

const openWrites = fc.array(
  fc.record({
    name: fc.constantFrom('f0', 'new', 'other'),
    /** Contents that are put one after another, or a deletion. */
    pieces: fc.option(fc.array(fc.nat(3), { minLength: 1, maxLength: 2 })),
  }),
  { maxLength: 6 },
)

const clusters = fc.record({
  layout: fc.constantFrom('files' as const, 'blocks' as const, 'compacted' as const),
  isText: fc.boolean(),
  fileCount: fc.integer({ min: 1, max: 4 }),
  pipelines: fc.array(pipelines, { minLength: 1, maxLength: 3 }),
  writes: openWrites,
})
type ClusterCase = typeof clusters extends fc.Arbitrary<infer Case> ? Case : never

function sha256(...parts: readonly (string | Uint8Array)[]): Buffer {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part)
  return hash.digest()
}

function idOf(...parts: readonly unknown[]): string {
  return createHash('md5').update(JSON.stringify(parts)).digest('hex')
}

function dashed(id: string): string {
  return id.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')
}

const time = (seconds: number) => ({ seconds: BigInt(1_500_000_000 + seconds), nanos: 5000 })
const dataCommit = idOf('data')
const contents = ['zero', 'one', 'two', 'three']

/** A cluster in the making, with what is known of it. */
class Writing {
  readonly writer: OldClusterWriter
  readonly wanted: { pipelines: unknown[]; jobs: unknown[] } = { pipelines: [], jobs: [] }
  resultCount = 0
  readonly #isText: boolean
  #nodes: OldNodes = new Map()

  constructor(directory: string, cluster: ClusterCase) {
    this.writer = new OldClusterWriter(directory, cluster)
    this.#isText = cluster.isText
  }

  async write(cluster: ClusterCase): Promise<void> {
    const { writer } = this
    await writer.begin()
    writer.record('pachyderm_pfs/repos/data', RepoInfoSchema, { repo: { name: 'data' } })
    const files = new Map<string, readonly string[]>()
    for (let at = 0; at < cluster.fileCount; at += 1) {
      files.set(`/f${at}`, [await writer.putObject(utf8(contents[at] ?? ''))])
    }
    this.#nodes = await this.#commit('data', { id: dataCommit, branch: 'master', files })
    for (const [index, pipeline] of cluster.pipelines.entries()) {
      await this.#pipeline(`pipe-${index}`, pipeline, cluster.fileCount)
    }
    await this.#openCommit(cluster)
    await writer.finish()
  }

  async #commit(
    repo: string,
    {
      id,
      branch,
      files,
    }: { readonly id: string; readonly branch: string; readonly files: OldFiles },
  ): Promise<OldNodes> {
    const { hash, sizeBytes, nodes } = await this.writer.putTree(files)
    const commit = { repo: { name: repo }, id }
    this.writer.record(`pachyderm_pfs/commits/${repo}/${id}`, CommitInfoSchema, {
      commit,
      started: time(1),
      finished: time(2),
      sizeBytes: BigInt(sizeBytes),
      tree: { hash },
      provenance: repo === 'data' ? [] : [{ repo: { name: 'data' }, id: dataCommit }],
    })
    this.writer.record(`pachyderm_pfs/branches/${repo}/${branch}`, CommitSchema, commit)
    return nodes
  }

  async #pipeline(name: string, made: OldPipelineCase, fileCount: number): Promise<void> {
    const { writer } = this
    const done = made.done.filter((place) => place < fileCount)
    const files = new Map<string, readonly string[]>()
    for (const place of done) {
      const object = await writer.putObject(utf8(`${name} of ${contents[place]}`))
      files.set(`/out${place}`, [object])
      const { hash } = await writer.putTree(new Map([[`/out${place}`, [object]]]))
      await writer.putTag(this.#tag(name, made, place), hash)
      this.resultCount += 1
    }
    const repo = { repo: { name }, provenance: [{ name: 'data' }] }
    writer.record(`pachyderm_pfs/repos/${name}`, RepoInfoSchema, repo)
    const output = idOf(name, 'output')
    await this.#commit(name, { id: output, branch: made.outputBranch, files })
    const info = this.#pipelineInfo(name, made)
    this.#record(
      `pachyderm_pps/pipelines/${name}`,
      PipelineInfoSchema,
      info,
      pipelineOddities[made.oddity],
    )
    const job = this.#jobInfo(name, made, { output, doneCount: done.length, fileCount })
    this.#record(
      `pachyderm_pps/jobs/${job.job?.id}`,
      JobInfoSchema,
      job,
      jobOddities[made.jobOddity]?.(info.id),
    )
    this.wanted.pipelines.push(pipelineFacts(info))
    this.wanted.jobs.push(jobFacts(job))
  }

  #record(
    key: string,
    schema: typeof PipelineInfoSchema | typeof JobInfoSchema,
    message: PipelineInfo | JobInfo,
    oddity = '',
  ): void {
    // In binary form, a field of a later release.
    const known = this.#isText
      ? oldText(schema, message as never)
      : toBinary(schema, message as never)
    const odd = this.#isText ? Buffer.from(oddity, 'latin1') : Uint8Array.of(0xf2, 0x3f, 1, 7)
    this.writer.raw(key, oddity === '' ? known : concatBytes([known, odd]))
  }

  #pipelineInfo(name: string, made: OldPipelineCase): PipelineInfo {
    const atom = { name: 'data', repo: 'data', branch: 'master', glob: '/*' }
    const { name: _, repo, ...rest } = atom
    return create(PipelineInfoSchema, {
      id: `id-of-${name}`,
      pipeline: { name },
      version: BigInt(made.version),
      transform: transformOf(made),
      ...(made.spelling === 'inputs' && { inputs: [{ ...rest, repo: { name: repo } }] }),
      ...(made.spelling === 'input' && { input: { atom } }),
      ...(made.spelling === 'cross' && { input: { cross: [{ atom }] } }),
      parallelismSpec: { constant: 2n },
      outputBranch: made.outputBranch,
      description: made.description,
      createdAt: time(3),
      state: made.isRunning ? PipelineState.PIPELINE_RUNNING : PipelineState.PIPELINE_PAUSED,
      ...(!this.#isText && { salt: saltOf(name) }),
    })
  }

  #jobInfo(
    name: string,
    made: OldPipelineCase,
    counts: { readonly output: string; readonly doneCount: number; readonly fileCount: number },
  ): JobInfo {
    const input = { name: 'data', glob: '/*' }
    const atom = { ...input, repo: 'data', branch: 'master', commit: dataCommit }
    return create(JobInfoSchema, {
      job: { id: dashed(idOf(name, 'job')) },
      pipeline: { name },
      pipelineVersion: BigInt(made.version),
      transform: transformOf(made),
      ...(made.spelling === 'inputs' && {
        inputs: [{ ...input, commit: { repo: { name: 'data' }, id: dataCommit } }],
      }),
      ...(made.spelling === 'input' && { input: { atom } }),
      ...(made.spelling === 'cross' && { input: { cross: [{ atom }] } }),
      outputRepo: { name },
      outputBranch: made.outputBranch,
      ...(!made.hasFailed && { outputCommit: { repo: { name }, id: counts.output } }),
      started: time(4),
      finished: time(5),
      state: made.hasFailed ? JobState.JOB_FAILURE : JobState.JOB_SUCCESS,
      dataProcessed: BigInt(counts.doneCount),
      dataTotal: BigInt(counts.fileCount),
    })
  }

  /** As the specification says what it is made from. */
  #tag(name: string, made: OldPipelineCase, place: number): string {
    const path = `/f${place}`
    const member = concatBytes([utf8('data'), utf8(path), this.#nodes.get(path)?.hash ?? utf8('')])
    const key = this.#isText ? `id-of-${name}` : saltOf(name)
    const prefix = sha256(key).toString('hex').slice(0, 4)
    if (!this.#isText) return prefix + sha256(member, name, key).toString('hex')
    const { image, cmd, env } = transformOf(made)
    // The server wrote the variables in any order: in that in which they were drawn.
    const written = concatBytes([
      sized(1, utf8(image)),
      ...cmd.map((word) => sized(2, utf8(word))),
      ...made.env.map((key_) =>
        sized(3, concatBytes([sized(1, utf8(key_)), sized(2, utf8(env[key_] ?? ''))])),
      ),
    ])
    return prefix + sha256(member, written, name, key, String(made.version)).toString('hex')
  }

  async #openCommit({ writes, isText }: ClusterCase): Promise<void> {
    const id = idOf('open')
    const commit = { repo: { name: 'data' }, id }
    this.writer.record(`pachyderm_pfs/commits/data/${id}`, CommitInfoSchema, {
      commit,
      parentCommit: { repo: { name: 'data' }, id: dataCommit },
      started: time(6),
    })
    this.writer.record('pachyderm_pfs/branches/data/wip', CommitSchema, commit)
    if (!isText) this.writer.record(`pachyderm_pfs/openCommits/${id}`, CommitSchema, commit)
    for (const [index, { name, pieces }] of writes.entries()) {
      // Names that sort otherwise than the writes came.
      const key = `pachyderm_pfs/scratch/data/${id}/${name}/${idOf(99 - index)}`
      if (pieces === null) this.writer.raw(key, utf8('delete'))
      else this.writer.raw(key, await this.#puts(pieces))
    }
  }

  async #puts(pieces: readonly number[]): Promise<Uint8Array> {
    const records: Uint8Array[] = []
    for (const piece of pieces) {
      const bytes = utf8(contents[piece] ?? '')
      const hash = await this.writer.putObject(bytes)
      // 1.4.0 wrote them as text.
      if (this.#isText && pieces.length === 1) return utf8(`${bytes.length} ${hash}`)
      records.push(sized(2, concatBytes([Uint8Array.of(0x08, bytes.length), sized(2, utf8(hash))])))
    }
    return concatBytes(records)
  }
}

/** A field of some bytes, of fewer than 2,048. */
function sized(field: number, bytes: Uint8Array): Uint8Array {
  const size =
    bytes.length < 128
      ? Uint8Array.of(bytes.length)
      : Uint8Array.of((bytes.length % 128) | 128, Math.floor(bytes.length / 128))
  return concatBytes([Uint8Array.of(field * 8 + 2), size, bytes])
}

function saltOf(name: string): string {
  return dashed(idOf(name, 'salt'))
}

function transformOf({ env }: OldPipelineCase) {
  const values = Object.fromEntries(env.map((name) => [name, `value of ${name}`]))
  return create(TransformSchema, { image: 'busybox', cmd: ['sh', '-c', 'true'], env: values })
}

function pipelineFacts(info: PipelineInfo): unknown {
  const { pipeline, version, transform, description, outputBranch, parallelismSpec } = info
  const [old] = info.inputs
  const atom = info.input?.atom ?? info.input?.cross[0]?.atom
  return {
    name: pipeline?.name,
    version,
    env: transform?.env,
    cmd: transform?.cmd,
    description,
    outputBranch,
    constant: parallelismSpec?.constant,
    input: [atom?.repo ?? old?.repo?.name, atom?.branch ?? old?.branch, atom?.glob ?? old?.glob],
  }
}

function jobFacts(info: JobInfo): unknown {
  const { job, pipeline, pipelineVersion, state, outputCommit, dataProcessed, dataTotal } = info
  const [old] = info.inputs
  const atom = info.input?.atom ?? info.input?.cross[0]?.atom
  const input = atom?.commit ?? old?.commit?.id
  const counts = { dataProcessed, dataTotal }
  return {
    id: job?.id,
    name: pipeline?.name,
    pipelineVersion,
    state,
    output: outputCommit?.id,
    input,
    ...counts,
  }
}

/** What an open commit has when its writes were made one after the other. */
function replayed({ fileCount, writes }: ClusterCase): Readonly<Record<string, string>> {
  const files = new Map(contents.slice(0, fileCount).map((text, at) => [`f${at}`, text]))
  for (const { name, pieces } of writes) {
    if (pieces === null) files.delete(name)
    else {
      const added = pieces.map((piece) => contents[piece]).join('')
      files.set(name, `${files.get(name) ?? ''}${added}`)
    }
  }
  return Object.fromEntries(files)
}

async function filesOf(pachd: TestPachd, id: string): Promise<Readonly<Record<string, string>>> {
  const commit = { repo: { name: 'data' }, id }
  const { fileInfo } = await pachd.pfs.listFile({ file: { commit, path: '/' } })
  const found: [string, string][] = []
  for (const { file } of fileInfo) {
    const path = file?.path ?? ''
    found.push([path.slice(1), await getText(pachd, { commit, path })])
  }
  return Object.fromEntries(found)
}

test('pipelines, jobs, results and open commits of any cluster come over as they were', async () => {
  await fc.assert(
    fc.asyncProperty(clusters, async (cluster) => {
      await using directory = await TemporaryDirectory.create()
      const writing = new Writing(directory.path, cluster)
      await writing.write(cluster)
      await using pachd = await TestPachd.start()
      const kept = { keepPaused: true, openCommits: OpenCommits.KEEP }
      // What is damaged is told below, and why.
      const request = { force: true, skipDamaged: true, ...kept }
      const { damage, summary } = await migrate(pachd, writing.writer, request)
      expect(damage).toEqual([])
      expect(summary?.counts?.results).toBe(BigInt(writing.resultCount))
      const { pipelineInfo } = await pachd.pps.listPipeline({})
      expect(new Set(pipelineInfo.map(pipelineFacts))).toEqual(new Set(writing.wanted.pipelines))
      const { jobInfo } = await pachd.pps.listJob({})
      expect(new Set(jobInfo.map(jobFacts))).toEqual(new Set(writing.wanted.jobs))
      expect(await filesOf(pachd, 'wip')).toEqual(replayed(cluster))
    }),
    { numRuns: Number(process.env['MIGRATION_RUNS'] ?? 4) },
  )
})
