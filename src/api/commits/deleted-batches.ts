import type { MessageInitShape } from '@bufbuild/protobuf'
import type { DeletedBatchSchema } from '../../gen/pachyderm_pb.ts'
import type { Deletion } from '../../versioning/deletions.ts'
import { commitMessage } from '../pfs/messages.ts'

/** Entries in one batch: at most some 600 bytes each. */
const batchEntryCount = 1000

type Batch = MessageInitShape<typeof DeletedBatchSchema>

/** What was deleted, in batches; at least one. */
export function* deletedBatches({ commits, branches, jobs }: Deletion): Generator<Batch> {
  const deletedCommits = commits.map(({ repo, id, addedBytes }) => ({
    commit: commitMessage(repo, id),
    sizeBytes: BigInt(addedBytes),
  }))
  const movedBranches = branches.map(({ repo, name, head }) => ({
    repo: { name: repo },
    name,
    ...(head !== undefined && { head: commitMessage(repo, head) }),
  }))
  const deletedJobs = [
    ...jobs.removed.map((job) => ({ ...job, killed: false })),
    ...jobs.killed.map((job) => ({ ...job, killed: true })),
  ].map(({ id, pipeline, killed }) => ({
    job: { id },
    pipeline: { name: pipeline },
    killed,
  }))
  yield { datumResults: BigInt(jobs.results.length) }
  for (const slice of slices(deletedCommits)) yield { commits: slice }
  for (const slice of slices(movedBranches)) yield { branches: slice }
  for (const slice of slices(deletedJobs)) yield { jobs: slice }
}

function* slices<Entry>(entries: readonly Entry[]): Generator<Entry[]> {
  for (let start = 0; start < entries.length; start += batchEntryCount) {
    yield entries.slice(start, start + batchEntryCount)
  }
}
