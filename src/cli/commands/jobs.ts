import { type JobInfo, JobInfoSchema } from '../../gen/pps_pb.ts'
import type { CommandContext } from '../command.ts'
import { jobText } from '../printing/job-text.ts'
import { rawText } from '../printing/json.ts'
import { sizeText } from '../printing/sizes.ts'
import { jobStateText } from '../printing/states.ts'
import { denseTable, Table } from '../printing/table.ts'
import { ageText, betweenText, secondsOf } from '../printing/times.ts'
import { ppsClient } from '../pps-client.ts'

export async function inspectJob(context: CommandContext): Promise<void> {
  const { args, flags, out, clock } = context
  const [id = ''] = args
  const blockState = flags.isOn('block')
  const info = await ppsClient(context).inspectJob({ job: { id }, blockState })
  if (flags.isOn('raw')) await out.write(rawText(JobInfoSchema, info))
  else await out.write(jobText(info, { out, clock }))
}

export async function listJob(context: CommandContext): Promise<void> {
  const { flags, out } = context
  const name = flags.text('pipeline')
  const { jobInfo } = await ppsClient(context).listJob(name === '' ? {} : { pipeline: { name } })
  const newestFirst = jobInfo.toSorted((left, right) => startOf(right) - startOf(left))
  if (flags.isOn('raw')) {
    for (const info of newestFirst) await out.write(rawText(JobInfoSchema, info))
    return
  }
  const table = new Table(out, denseTable)
  table.add(
    'ID',
    'OUTPUT COMMIT',
    'STARTED',
    'DURATION',
    'RESTART',
    'PROGRESS',
    'DL',
    'UL',
    'STATE',
  )
  for (const info of newestFirst) addRow(table, info, context)
  await table.flush()
}

function startOf({ started }: JobInfo): number {
  return started === undefined ? 0 : secondsOf(started)
}

function addRow(table: Table, info: JobInfo, { clock, out }: CommandContext): void {
  const { job, started, finished, restart, dataProcessed, dataSkipped, dataTotal, stats } = info
  table.add(
    job?.id ?? '',
    outputText(info),
    ageText(started, clock),
    finished === undefined ? '-' : betweenText(started, finished),
    String(restart),
    `${dataProcessed} + ${dataSkipped} / ${dataTotal}`,
    sizeText(stats?.downloadBytes ?? 0n),
    sizeText(stats?.uploadBytes ?? 0n),
    jobStateText(info.state, out),
  )
}

function outputText({ outputCommit, pipeline }: JobInfo): string {
  if (outputCommit !== undefined) return `${outputCommit.repo?.name ?? ''}/${outputCommit.id}`
  return pipeline === undefined ? '-' : `${pipeline.name}/-`
}

export async function deleteJob(context: CommandContext): Promise<void> {
  const [id = ''] = context.args
  await ppsClient(context).deleteJob({ job: { id } })
}

export async function stopJob(context: CommandContext): Promise<void> {
  const [id = ''] = context.args
  await ppsClient(context).stopJob({ job: { id } })
}
