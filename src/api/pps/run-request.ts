import { FailedPreconditionError, InvalidArgumentError } from '../../base/errors.ts'
import type { CreateJobRequest, Input, RerunPipelineRequest } from '../../gen/pps_pb.ts'
import type { ChosenCommit } from '../../pipelines/manual-jobs.ts'
import type { PipelineRecord } from '../../pipelines/pipeline-records.ts'
import { requireCommit } from '../pfs/names.ts'

/** Fields of a request that would make the job another than its pipeline's. */
const fixedFields = [
  'transform',
  'parallelismSpec',
  'outputRepo',
  'outputBranch',
  'parentJob',
  'resourceSpec',
  'newBranch',
  'egress',
  'service',
] as const satisfies readonly (keyof CreateJobRequest)[]

/**
 * The commits that a request for a job names, each once.
 *
 * @throws {InvalidArgumentError} for what only the pipeline's spec can say.
 * @throws {FailedPreconditionError} when the request was made for another version of it.
 */
export function chosenCommits(
  request: CreateJobRequest,
  pipeline: PipelineRecord,
): readonly ChosenCommit[] {
  const set = fixedFields.filter((name) => {
    const value = request[name]
    return value !== undefined && value !== ''
  })
  if (set.length > 0) {
    throw new InvalidArgumentError(
      `a job runs what its pipeline's spec says, so ${set.join(', ')} cannot be given: change the pipeline with update-pipeline`,
    )
  }
  const { pipelineVersion: version, salt } = request
  const isOther =
    (version !== 0n && version !== BigInt(pipeline.version)) ||
    (salt !== '' && salt !== pipeline.salt)
  if (isOther) {
    throw new FailedPreconditionError(
      `job is made from an outdated version of the pipeline: ${pipeline.name} has version ${pipeline.version}`,
    )
  }
  const named = [
    ...request.inputs.map(({ commit }) => ({
      repo: commit?.repo?.name ?? '',
      commit: commit?.id ?? '',
    })),
    ...(request.input === undefined ? [] : commitsOf(request.input)),
  ]
  const distinct = new Map<string, ChosenCommit>()
  for (const one of named) {
    if (one.commit !== '') distinct.set(JSON.stringify([one.repo, one.commit]), one)
  }
  return [...distinct.values()]
}

/**
 * The commits that a request to run a pipeline again names.
 *
 * @throws {InvalidArgumentError} for commits that are to be left out: a job reads those that are named.
 */
export function rerunCommits({
  include,
  exclude,
}: Pick<RerunPipelineRequest, 'include' | 'exclude'>): readonly ChosenCommit[] {
  if (exclude.length > 0) {
    throw new InvalidArgumentError(
      'exclude cannot be given: a job is made over the heads of the input branches, or over the commits that include names, one of each repo',
    )
  }
  return include.map((commit) => requireCommit(commit, 'include'))
}

function commitsOf(input: Input): readonly ChosenCommit[] {
  const { atom, pfs, cron, cross, union, join, group } = input
  const own = [atom, pfs, cron].flatMap((one) => one ?? [])
  return [
    ...own.map(({ repo, commit }) => ({ repo, commit })),
    ...[...cross, ...union, ...join, ...group].flatMap(commitsOf),
  ]
}
