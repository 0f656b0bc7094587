import type { MessageInitShape } from '@bufbuild/protobuf'
import type {
  DatumExplanationSchema,
  ExplainedGroupSchema,
  ExplainResponseSchema,
  JobExplanationSchema,
} from '../../gen/pachyderm_pb.ts'
import type {
  DatumExplanation,
  ExplainedGroup,
  JobExplanation,
} from '../../pipelines/explanations.ts'
import type { Processing } from '../../pipelines/processing.ts'
import type { FileName } from '../../versioning/files.ts'
import { commitMessage } from '../pfs/messages.ts'
import { datumStateCodes, inputFileMessage, jobStateCodes } from '../pps/job-messages.ts'

/** Datums of one file that are explained in one answer. */
const explainedDatumCountMax = 100

/** The datums that wrote a file, each explained; of a file that no job made, a note. */
export async function explainFile(
  { explanations, lineage }: Pick<Processing, 'explanations' | 'lineage'>,
  file: FileName,
): Promise<MessageInitShape<typeof ExplainResponseSchema>> {
  const places: Uint8Array[] = []
  let job = ''
  let moreDatums = false
  for await (const origin of lineage.origins(file)) {
    if (places.length === explainedDatumCountMax) {
      moreDatums = true
      break
    }
    job = origin.job
    places.push(origin.orderKey)
  }
  if (job !== '') {
    const explained = await explanations.ofPlaces(job, places)
    return { datums: explained.map(datumExplanationMessage), moreDatums }
  }
  const maker = await lineage.jobOf(file)
  const note =
    maker === undefined
      ? `no job made commit ${file.commit} of repo ${file.repo}: what is in it was put there`
      : `no datum of job ${maker.id} wrote there`
  return { note }
}

export function jobExplanationMessage(
  explanation: JobExplanation,
): MessageInitShape<typeof JobExplanationSchema> {
  const { job, groups } = explanation
  return {
    job: { id: job.id },
    pipeline: { name: job.pipeline },
    pipelineVersion: BigInt(job.pipelineVersion),
    state: jobStateCodes[job.state],
    reason: explanation.reason,
    end: job.reason,
    commits: job.inputs.map(({ repo, commit }) => commitMessage(repo, commit)),
    ...(explanation.comparedWith !== undefined && { baseJob: { id: explanation.comparedWith } }),
    unchanged: BigInt(explanation.unchangedCount),
    groups: groups.map(groupMessage),
    lookedAt: BigInt(explanation.lookedAtCount ?? 0),
  }
}

function groupMessage(group: ExplainedGroup): MessageInitShape<typeof ExplainedGroupSchema> {
  return {
    state: datumStateCodes[group.state],
    cause: group.cause,
    datums: BigInt(group.count),
    example: datumExplanationMessage(group.example),
  }
}

export function datumExplanationMessage({
  info,
  cause,
  reason,
}: DatumExplanation): MessageInitShape<typeof DatumExplanationSchema> {
  return {
    job: { id: info.job },
    datumId: info.key,
    state: datumStateCodes[info.state],
    data: info.members.map(inputFileMessage),
    reason,
    failure: info.reason,
    ...(cause.kind !== 'new' && { otherJob: { id: cause.job } }),
    differences: cause.kind === 'differs' ? cause.differences.map((one) => ({ ...one })) : [],
  }
}
