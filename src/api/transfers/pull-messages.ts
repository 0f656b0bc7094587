import type { MessageInitShape } from '@bufbuild/protobuf'
import type { PullResponseSchema } from '../../gen/pachyderm_pb.ts'
import type { PulledCounts, PullEvent } from '../../sources/pulls.ts'

type EventMessage = NonNullable<MessageInitShape<typeof PullResponseSchema>['event']>

export function pullMessage(event: PullEvent): EventMessage {
  if (event.kind === 'repo') return { case: 'repo', value: repoMessage(event.counts) }
  const { repo, commitsDone, commitsTotal, fileCount, cameBytes } = event
  const value = {
    repo,
    commitsDone: BigInt(commitsDone),
    commitsTotal: BigInt(commitsTotal),
    files: BigInt(fileCount),
    bytes: BigInt(cameBytes),
  }
  return { case: 'progress', value }
}

function repoMessage(counts: PulledCounts) {
  const { repo, commitCount, branches, ahead, leftOutCount, tags, otherTags } = counts
  return {
    repo,
    commits: BigInt(commitCount),
    branches: [...branches],
    ahead: [...ahead],
    leftOut: BigInt(leftOutCount),
    tags: [...tags],
    otherTags: [...otherTags],
  }
}
