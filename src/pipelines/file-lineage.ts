import type { CommitId, JobId, PipelineName, RepoName } from '../base/names.ts'
import { parseFilePath, type FilePath } from '../base/paths.ts'
import type { ReadTransaction } from '../database/database.ts'
import type { DirectoryEntry } from '../storage/file-trees.ts'
import type { Lease } from '../storage/leases.ts'
import { getCommit, type CommitInfo } from '../versioning/commit-records.ts'
import { FileNotFoundError } from '../versioning/errors.ts'
import { decodeDatum } from './datums/datum-sets.ts'
import type { DatumKey, DatumMember } from './datums.ts'
import { shownMembers } from './discovery/group-members.ts'
import { atomsOf, type Input } from './inputs.ts'
import { selectJobs, type JobInput, type JobRecord } from './job-records.ts'
import { DerivedFiles, type FileDerivation, type LineagePorts } from './lineage/derived-files.ts'
import { contributionRange, orderKeyOf } from './outputs/contributions.ts'
import { specOfVersion } from './pipeline-records.ts'

export type { FileDerivation } from './lineage/derived-files.ts'

/** A datum that wrote to an output file, and what it read. */
export interface FileOrigin {
  readonly job: JobId
  readonly pipeline: PipelineName
  readonly datum: DatumKey
  /** Where the datum stands in the job. */
  readonly orderKey: Uint8Array
  readonly inputs: readonly OriginInput[]
}

export interface OriginInput {
  readonly input: string
  readonly repo: RepoName
  readonly commit: CommitId
  readonly path: FilePath
  readonly hash: Uint8Array
}

/** A file as people name it. */
interface NamedFile {
  readonly repo: string
  readonly commit: string
  readonly path: string
}

/** Traces files of commits back to what they were made from, and on to what was made from them. */
export class FileLineage {
  readonly #ports: LineagePorts

  constructor(ports: LineagePorts) {
    this.#ports = ports
  }

  /** The job that made a commit; undefined when none did. @throws {NotFoundError} */
  async jobOf(file: Pick<NamedFile, 'repo' | 'commit'>): Promise<JobRecord | undefined> {
    return await this.#ports.database.read(async (tx) =>
      jobThatMade(tx, await getCommit(tx, file.repo, file.commit)),
    )
  }

  /**
   * The datums that wrote to the file, or below the directory, at `path`: each once, in datum
   * order of the paths, with what it read: of a group, its files, unless they are very many. None
   * for a commit that no job made. Cost: what was written there.
   *
   * @throws {NotFoundError} for a repo, a commit or a path that does not exist.
   */
  async *origins(file: NamedFile): AsyncGenerator<FileOrigin> {
    const { maps } = this.#ports
    using lease = this.#ports.leases.beginReading()
    const { path, job, sources } = await this.#open(lease, file)
    if (job?.contributions === undefined || job.datumSet === undefined) return
    const { from, to } = contributionRange(path)
    // The root has no key of its own: everything is below it.
    const range = path === '' ? {} : { from, to }
    const seen = new Set<DatumKey>()
    for await (const { key } of maps.scan(job.contributions, range)) {
      const orderKey = orderKeyOf(key)
      const value = await maps.get(job.datumSet, orderKey)
      if (value === undefined) continue
      const datum = decodeDatum(value)
      if (seen.has(datum.key)) continue
      seen.add(datum.key)
      const inputs = await this.#inputs(sources, datum.members)
      yield { job: job.id, pipeline: job.pipeline, datum: datum.key, orderKey, inputs }
    }
  }

  /**
   * The datums to which jobs gave the file, a directory that it is in or, of a directory, something
   * below it; with what they wrote. Oldest job first. Jobs that read other commits are not asked,
   * even if these hold the same file. Cost: these datums and what they wrote.
   *
   * @throws {NotFoundError} for a repo, a commit or a path that does not exist.
   */
  async *derived(file: NamedFile): AsyncGenerator<FileDerivation> {
    using lease = this.#ports.leases.beginReading()
    const { path, commit } = await this.#open(lease, file)
    const derived = new DerivedFiles(this.#ports, lease)
    for (const job of await this.#readersOf(commit)) {
      yield* derived.of(job, { repo: commit.repo, path })
    }
  }

  async #inputs(
    sources: Sources | undefined,
    members: readonly DatumMember[],
  ): Promise<readonly OriginInput[]> {
    if (sources === undefined) return []
    const shown = await shownMembers(this.#ports.trees, sources.input, members)
    return shown.flatMap((member) => originsOf(sources, member))
  }

  async #open(lease: Lease, file: NamedFile): Promise<OpenedFile> {
    const path = parseFilePath(file.path)
    const { database, trees } = this.#ports
    return await lease.acquire(async () => {
      const found = await database.read(async (tx) => {
        const commit = await getCommit(tx, file.repo, file.commit)
        const job = await jobThatMade(tx, commit)
        return { path, commit, job, sources: job && (await sourcesOf(tx, job)) }
      })
      const { commit, job } = found
      if (commit.state.kind === 'finished') {
        const tree: DirectoryEntry = { kind: 'directory', ...commit.state.tree }
        lease.hold({ kind: 'tree', root: tree.root })
        if ((await trees.get(tree, path)) === undefined) {
          throw new FileNotFoundError({ repo: commit.repo, commit: commit.id, path: file.path })
        }
      }
      // The trees of groups.
      if (job?.matches !== undefined) lease.hold({ kind: 'tree', root: job.matches })
      if (job?.datumSet !== undefined) lease.hold({ kind: 'map', root: job.datumSet })
      // A map from (path, order key) to tree entries.
      if (job?.contributions !== undefined) lease.hold({ kind: 'tree', root: job.contributions })
      return found
    })
  }

  /** The jobs that read a commit, oldest first. */
  async #readersOf({ repo, id }: CommitInfo): Promise<readonly JobRecord[]> {
    return await this.#ports.database.read((tx) =>
      selectJobs(
        tx,
        `WHERE id IN (SELECT p.job FROM job_provenance p
            JOIN job_inputs i ON i.job = p.job AND i.repo = ? AND i.commit_id = p.commit_id
            WHERE p.commit_id = ?) ORDER BY sequence`,
        repo,
        id,
      ),
    )
  }
}

interface OpenedFile {
  readonly path: FilePath
  readonly commit: CommitInfo
  /** The job that made the commit. */
  readonly job: JobRecord | undefined
  /** What that reads; undefined when its spec is gone. */
  readonly sources: Sources | undefined
}

async function jobThatMade(
  tx: ReadTransaction,
  commit: CommitInfo,
): Promise<JobRecord | undefined> {
  return (await selectJobs(tx, 'WHERE output_commit = ?', commit.id))[0]
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
