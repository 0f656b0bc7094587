import type { CommitId, JobId, PipelineName, RepoName } from '../base/names.ts'
import { parseFilePath, type FilePath } from '../base/paths.ts'
import type { Database, ReadTransaction } from '../database/database.ts'
import type { FileTrees } from '../storage/file-trees.ts'
import type { ProllyMaps } from '../storage/prolly-map.ts'
import { getCommit } from '../versioning/commit-records.ts'
import { decodeDatum } from './datum-sets.ts'
import type { DatumKey, DatumMember } from './datums.ts'
import { shownMembers } from './discovery/group-members.ts'
import { atomsOf, type Input } from './inputs.ts'
import { selectJobs, type JobInput, type JobRecord } from './job-records.ts'
import { contributionRange, orderKeyOf } from './outputs/contributions.ts'
import { specOfVersion } from './pipeline-records.ts'

/** A datum that wrote to an output file, and what it read. */
export interface FileOrigin {
  readonly job: JobId
  readonly pipeline: PipelineName
  readonly datum: DatumKey
  readonly inputs: readonly OriginInput[]
}

export interface OriginInput {
  readonly input: string
  readonly repo: RepoName
  readonly commit: CommitId
  readonly path: FilePath
  readonly hash: Uint8Array
}

/** Traces files of job outputs back to the datums, and so the input files, that they come from. */
export class FileLineage {
  readonly #database: Database
  readonly #maps: ProllyMaps
  readonly #trees: FileTrees

  constructor(ports: {
    readonly database: Database
    readonly maps: ProllyMaps
    readonly trees: FileTrees
  }) {
    this.#database = ports.database
    this.#maps = ports.maps
    this.#trees = ports.trees
  }

  /**
   * The datums that wrote to the file, or below the directory, at `path`: each once, in datum
   * order of the paths. None for a commit that no job made.
   *
   * @throws {NotFoundError} for a repo or commit that does not exist.
   */
  async *origins(file: {
    readonly repo: string
    readonly commit: string
    readonly path: string
  }): AsyncGenerator<FileOrigin> {
    const path = parseFilePath(file.path)
    const found = await this.#database.read(async (tx) => {
      const commit = await getCommit(tx, file.repo, file.commit)
      const [job] = await selectJobs(tx, 'WHERE output_commit = ?', commit.id)
      return job === undefined ? undefined : { job, sources: await sourcesOf(tx, job) }
    })
    const { job, sources } = found ?? {}
    if (job?.contributions === undefined || job.datumSet === undefined) return
    if (sources === undefined) return
    const { from, to } = contributionRange(path)
    // The root has no key of its own: everything is below it.
    const range = path === '' ? {} : { from, to }
    const seen = new Set<DatumKey>()
    for await (const { key } of this.#maps.scan(job.contributions, range)) {
      const value = await this.#maps.get(job.datumSet, orderKeyOf(key))
      if (value === undefined) continue
      const datum = decodeDatum(value)
      if (seen.has(datum.key)) continue
      seen.add(datum.key)
      const inputs = await this.#inputs(sources, datum.members)
      yield { job: job.id, pipeline: job.pipeline, datum: datum.key, inputs }
    }
  }

  async #inputs(
    sources: Sources,
    members: readonly DatumMember[],
  ): Promise<readonly OriginInput[]> {
    const shown = await shownMembers(this.#trees, sources.input, members)
    return shown.flatMap((member) => originsOf(sources, member))
  }
}

/** What a job reads. */
interface Sources {
  readonly input: Input
  readonly commits: readonly JobInput[]
}

/** Undefined when the spec is gone. */
async function sourcesOf(tx: ReadTransaction, job: JobRecord): Promise<Sources | undefined> {
  const spec = await specOfVersion(tx, job.pipelineId, job.pipelineVersion)
  return spec && { input: spec.input, commits: job.inputs }
}

/** A member in each commit that its input reads: branches of a union may share a name. */
function originsOf(
  { input: whole, commits }: Sources,
  { input, path, hash }: DatumMember,
): readonly OriginInput[] {
  const named = atomsOf(whole).filter(({ name }) => name === input)
  const repos = new Set(named.map(({ repo }) => repo))
  return commits
    .filter(({ repo }) => repos.has(repo))
    .map(({ repo, commit }) => ({ input, repo, commit, path, hash }))
}
