import { JobState, type PipelineInfo, PipelineInfoSchema } from '../../gen/pps_pb.ts'
import type { CommandContext } from '../command.ts'
import { UsageError } from '../errors.ts'
import { rawText } from '../printing/json.ts'
import {
  inputShorthand,
  inputText,
  limitLines,
  parallelismText,
  resourceLines,
  transformText,
} from '../printing/specs.ts'
import { pipelineStateText } from '../printing/states.ts'
import { Table } from '../printing/table.ts'
import { ageText } from '../printing/times.ts'
import { ppsClient } from '../pps-client.ts'

export async function inspectPipeline(context: CommandContext): Promise<void> {
  const { args, flags, out } = context
  const [name = ''] = args
  const info = await ppsClient(context).inspectPipeline({ pipeline: { name } })
  await out.write(flags.isOn('raw') ? rawText(PipelineInfoSchema, info) : detailText(info, context))
}

function detailText(info: PipelineInfo, { clock, out }: CommandContext): string {
  const { description, egress, recentError, jobCounts } = info
  const count = (state: JobState): number => jobCounts[state] ?? 0
  return [
    `Name: ${info.pipeline?.name ?? ''}\n`,
    description === '' ? '' : `Description: ${description}\n`,
    `Created: ${ageText(info.createdAt, clock)}\n`,
    `State: ${pipelineStateText(info.state, out)}\n`,
    `Parallelism Spec: ${parallelismText(info.parallelismSpec)}\n`,
    limitLines(info),
    resourceLines(info.resourceSpec),
    `Input:\n${inputText(info.input)}\n\n`,
    `Output Branch: ${info.outputBranch}\n`,
    `Transform:\n${transformText(info.transform)}\n`,
    egress === undefined ? '\n' : `Egress: ${egress.URL} \n`,
    recentError === '' ? '\n' : ` Recent Error: ${recentError}\n`,
    info.runsIn === '' ? '' : `Runs In: ${info.runsIn}\n`,
    ...info.notices.map((notice) => `Notice: ${notice}\n`),
    'Job Counts:\n',
    `starting: ${count(JobState.JOB_STARTING)}\trunning: ${count(JobState.JOB_RUNNING)}\t`,
    `failure: ${count(JobState.JOB_FAILURE)}\tsuccess: ${count(JobState.JOB_SUCCESS)}\t\n`,
  ].join('')
}

export async function listPipeline(context: CommandContext): Promise<void> {
  const { flags, out, clock } = context
  const { pipelineInfo } = await ppsClient(context).listPipeline({})
  if (flags.isOn('raw')) {
    for (const info of pipelineInfo) await out.write(rawText(PipelineInfoSchema, info))
    return
  }
  const table = new Table(out)
  table.add('NAME', 'INPUT', 'OUTPUT', 'CREATED', 'STATE')
  for (const { pipeline, input, outputBranch, createdAt, state, spout } of pipelineInfo) {
    const name = pipeline?.name ?? ''
    table.add(
      name,
      spout === undefined ? inputShorthand(input) : 'spout',
      `${name}/${outputBranch}`,
      ageText(createdAt, clock),
      pipelineStateText(state, out),
    )
  }
  await table.flush()
}

export async function deletePipeline(context: CommandContext): Promise<void> {
  const { args, flags } = context
  const [name] = args
  const all = flags.isOn('all')
  if (all && name !== undefined) {
    throw new UsageError('cannot use the --all flag with an argument')
  }
  if (all && flags.isOn('cascade')) {
    throw new UsageError('--all deletes every pipeline, so --cascade has no meaning with it')
  }
  if (!all && name === undefined) {
    throw new UsageError('either a pipeline name or the --all flag needs to be provided')
  }
  await ppsClient(context).deletePipeline({
    ...(name === undefined ? { all } : { pipeline: { name } }),
    deleteJobs: flags.isOn('delete-jobs'),
    deleteRepo: flags.isOn('delete-repo'),
    cascade: flags.isOn('cascade'),
  })
}

export async function startPipeline(context: CommandContext): Promise<void> {
  const [name = ''] = context.args
  await ppsClient(context).startPipeline({ pipeline: { name } })
}

export async function stopPipeline(context: CommandContext): Promise<void> {
  const [name = ''] = context.args
  await ppsClient(context).stopPipeline({ pipeline: { name } })
}
