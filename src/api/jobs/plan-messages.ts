import type { MessageInitShape } from '@bufbuild/protobuf'
import type { PlannedJobSchema, PlanOutlineSchema, PlanStepSchema } from '../../gen/pachyderm_pb.ts'
import type { PlannedJob, PlanOutline, PlanStep } from '../../pipelines/pipeline-plans.ts'
import { commitMessage } from '../pfs/messages.ts'

export function planStepMessage(step: PlanStep): MessageInitShape<typeof PlanStepSchema> {
  switch (step.kind) {
    case 'outline':
      return { step: { case: 'outline', value: outlineMessage(step.outline) } }
    case 'job':
      return { step: { case: 'job', value: plannedJobMessage(step.job) } }
    case 'progress':
      return { step: { case: 'progress', value: { datums: BigInt(step.datumCount) } } }
  }
}

function outlineMessage(outline: PlanOutline): MessageInitShape<typeof PlanOutlineSchema> {
  return {
    pipeline: { name: outline.pipeline },
    version: BigInt(outline.version),
    update: outline.isUpdate,
    spout: outline.isSpout,
    stoppedJobs: outline.stopped.map((id) => ({ id })),
    readers: outline.readers.map((name) => ({ name })),
    emptyBranches: [...outline.emptyBranches],
    jobs: outline.jobCount,
    moreJobs: outline.isCut,
    notices: [...outline.notices],
  }
}

function plannedJobMessage(planned: PlannedJob): MessageInitShape<typeof PlannedJobSchema> {
  return {
    ...(planned.job !== undefined && { job: { id: planned.job } }),
    commits: planned.inputs.map(({ repo, commit }) => commitMessage(repo, commit)),
    datums: BigInt(planned.datumCount),
    processed: BigInt(planned.processedCount),
    skipped: BigInt(planned.datumCount - planned.processedCount),
    processedBytes: BigInt(planned.processedBytes),
    atMost: planned.isAtMost,
  }
}
