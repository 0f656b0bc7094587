import type { MessageInitShape } from '@bufbuild/protobuf'
import type { Trigger, TriggerSchema } from '../../gen/pfs_pb.ts'
import { exactSizeText } from '../../base/sizes.ts'
import type { RequestedTrigger } from '../../pipelines/branch-triggers.ts'
import type { InputTrigger } from '../../pipelines/inputs.ts'

export function triggerOfRequest(trigger: Trigger): RequestedTrigger {
  const { branch, all, size, commits, cronSpec } = trigger
  return { branch, all, size, commits: Number(commits), cronSpec }
}

export function triggerMessage(trigger: InputTrigger): MessageInitShape<typeof TriggerSchema> {
  return {
    branch: trigger.source,
    all: trigger.all,
    cronSpec: trigger.schedule,
    size: trigger.sizeBytes === 0 ? '' : exactSizeText(trigger.sizeBytes),
    commits: BigInt(trigger.commitCount),
  }
}
