import type { MessageInitShape } from '@bufbuild/protobuf'
import {
  type DatumExplanation,
  type ExplainedGroup,
  type ExplainRequestSchema,
  ExplainResponseSchema,
  type JobExplanation,
} from '../../gen/pachyderm_pb.ts'
import { DatumState } from '../../gen/pps_pb.ts'
import type { CommandContext } from '../command.ts'
import { UsageError } from '../errors.ts'
import type { Output } from '../../base/output.ts'
import { jobsClient } from '../own-clients.ts'
import { parseCommitText } from '../parsing/commit-arguments.ts'
import { rawText } from '../printing/json.ts'
import { datumStateText, jobStateText } from '../printing/states.ts'
import { visible } from '../printing/visible.ts'

const datumPattern = /^[0-9a-f]{64}$/
const jobPattern = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

export async function explain(context: CommandContext): Promise<void> {
  const { args, flags, out } = context
  const [what = ''] = args
  const response = await jobsClient(context).explain(requestOf(what, flags.text('job')))
  if (flags.isOn('raw')) {
    await out.write(rawText(ExplainResponseSchema, response))
    return
  }
  const { job, datums, moreDatums, note } = response
  if (note !== '') await out.line(`${what}: ${note}`)
  if (job !== undefined) await out.write(jobText(job, out))
  const texts = datums.map((datum) => datumText(datum, out))
  await out.write(texts.join('\n'))
  if (moreDatums) await out.line('\nMore datums wrote there: ask for a path deeper in the tree.')
}

/** @throws {UsageError} */
function requestOf(what: string, job: string): MessageInitShape<typeof ExplainRequestSchema> {
  if (datumPattern.test(what)) return { datumId: what, ...(job !== '' && { job: { id: job } }) }
  if (job !== '') throw new UsageError('--job goes with a datum, by its id of 64 hex digits')
  if (jobPattern.test(what)) return { job: { id: what } }
  if (!what.includes('@')) {
    throw new UsageError(
      `${JSON.stringify(what)} is not the id of a job, nor of a datum, nor a file such as edges@master:/cat.png`,
      { showsUsage: true },
    )
  }
  const { repo, commit, path = '' } = parseCommitText(what)
  return { file: { commit: { repo: { name: repo }, id: commit }, path } }
}

function jobText(explanation: JobExplanation, out: Output): string {
  const { baseJob, groups, lookedAt, unchanged } = explanation
  const commits = explanation.commits.map(({ repo, id }) => `${repo?.name ?? ''}@${id}`)
  return [
    `Job ${explanation.job?.id ?? ''} of pipeline ${explanation.pipeline?.name ?? ''}, `,
    `version ${explanation.pipelineVersion}: ${jobStateText(explanation.state, out)}\n`,
    `Made because ${explanation.reason}\n`,
    // A spout reads nothing, and so has no datums.
    ...(commits.length === 0
      ? []
      : [
          `Reads: ${commits.join(' ')}\n`,
          `Compared with: ${baseJob === undefined ? 'nothing' : `job ${baseJob.id}`}\n`,
        ]),
    explanation.end === '' ? '' : `Reason: ${visible(explanation.end)}\n`,
    groups.length === 0 && unchanged === 0n ? '' : 'Datums:\n',
    ...groups.map((group) => groupText(group, out)),
    unchanged === 0n ? '' : `  ${unchanged} skipped: unchanged\n`,
    lookedAt === 0n ? '' : `Only the first ${lookedAt} that differ were looked at.\n`,
  ].join('')
}

function groupText({ datums, state, cause, example }: ExplainedGroup, out: Output): string {
  const paths = example?.data.map(({ path }) => visible(path || '/')).join(', ') ?? ''
  return (
    `  ${datums} ${stateText(state, out)}: ${cause}\n` +
    `    such as ${example?.datumId ?? ''} (${paths}): ${visible(example?.reason ?? '')}\n`
  )
}

/** A dash, as in tables, would say nothing within a sentence. */
function stateText(state: DatumState, out: Output): string {
  return state === DatumState.STARTING ? 'not done' : datumStateText(state, out)
}

function datumText(datum: DatumExplanation, out: Output): string {
  const { job, datumId, state, data, reason, failure, differences } = datum
  const paths = data.map(({ path }) => visible(path || '/')).join(', ')
  return [
    `Datum ${datumId} (${paths})\n`,
    `Job: ${job?.id ?? ''}\n`,
    `State: ${stateText(state, out)}\n`,
    `Because ${visible(reason)}\n`,
    failure === '' ? '' : `Failure: ${visible(failure)}\n`,
    ...differences.map(
      ({ field, before, now }) =>
        `  ${field}: ${visible(before) || 'none'} -> ${visible(now) || 'none'}\n`,
    ),
  ].join('')
}
