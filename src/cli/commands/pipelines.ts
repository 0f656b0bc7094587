import { JobState, type PipelineInfo, PipelineInfoSchema, type Service } from '../../gen/pps_pb.ts'
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
import { pipelinesClient, streamOrElse } from '../own-clients.ts'
import { ppsClient } from '../pps-client.ts'

interface Batch {
  readonly pipelineInfo: readonly PipelineInfo[]
}

export async function inspectPipeline(context: CommandContext): Promise<void> {
  const { args, flags, out } = context
  const [name = ''] = args
  const info = await ppsClient(context).inspectPipeline({ pipeline: { name } })
  await out.write(flags.isOn('raw') ? rawText(PipelineInfoSchema, info) : detailText(info, context))
}

function detailText(info: PipelineInfo, { clock, out, address }: CommandContext): string {
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
    info.service === undefined
      ? `Output Branch: ${info.outputBranch}\n`
      : `Service: ${serviceAddress(info.service, address)} (port ${info.service.internalPort} of the code)\n`,
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
  const { flags, out } = context
  const batches = streamOrElse<Batch>(pipelinesClient(context).listPipelines({}), () =>
    ppsClient(context).listPipeline({}),
  )
  const isRaw = flags.isOn('raw')
  const table = new Table(out)
  if (!isRaw) table.add('NAME', 'INPUT', 'OUTPUT', 'CREATED', 'STATE')
  for await (const { pipelineInfo } of batches) {
    if (isRaw) {
      await out.write(pipelineInfo.map((info) => rawText(PipelineInfoSchema, info)).join(''))
    } else for (const info of pipelineInfo) addRow(table, info, context)
    await table.flush()
  }
  await table.flush()
}

function addRow(table: Table, info: PipelineInfo, { clock, out, address }: CommandContext): void {
  const { pipeline, input, outputBranch, createdAt, state, spout, service } = info
  const name = pipeline?.name ?? ''
  table.add(
    name,
    spout === undefined ? inputShorthand(input) : 'spout',
    service === undefined ? `${name}/${outputBranch}` : serviceAddress(service, address),
    ageText(createdAt, clock),
    pipelineStateText(state, out),
  )
}

/** On the machine of the server. */
function serviceAddress({ externalPort }: Service, server: string): string {
  return `${server.replace(/:\d+$/, '')}:${externalPort}`
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
