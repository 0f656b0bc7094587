import type { CommitId, JobId, PipelineName, RepoName } from '../base/names.ts'
import { parseFilePath, type FilePath } from '../base/paths.ts'
import type { Database, ReadTransaction } from '../database/database.ts'
import type { ProllyMaps } from '../storage/prolly-map.ts'
import { getCommit } from '../versioning/commit-records.ts'
import { decodeDatum } from './datum-sets.ts'
import type { DatumKey, DatumMember } from './datums.ts'
import { atomsOf } from './inputs.ts'
import { selectJobs, type JobRecord } from './job-records.ts'
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

  constructor(ports: { readonly database: Database; readonly maps: ProllyMaps }) {
    this.#database = ports.database
    this.#maps = ports.maps
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
      return job === undefined ? undefined : { job, inputOf: await inputsOf(tx, job) }
    })
    const { job, inputOf } = found ?? {}
    if (job?.contributions === undefined || job.datumSet === undefined) return
    if (inputOf === undefined) return
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
      const inputs = datum.members.flatMap(inputOf)
      yield { job: job.id, pipeline: job.pipeline, datum: datum.key, inputs }
    }
  }
}

type InputOf = (member: DatumMember) => readonly OriginInput[]

/** Which commit each input of a job reads. Branches of a union may share a name: then all of them. */
async function inputsOf(tx: ReadTransaction, job: JobRecord): Promise<InputOf> {
  const spec = await specOfVersion(tx, job.pipelineId, job.pipelineVersion)
  const atoms = spec === undefined ? [] : atomsOf(spec.input)
  return ({ input, path, hash }) => {
    const repos = new Set(atoms.filter(({ name }) => name === input).map(({ repo }) => repo))
    return job.inputs
      .filter(({ repo }) => repos.has(repo))
      .map(({ repo, commit }) => ({ input, repo, commit, path, hash }))
  }
}
