import { type JobInfo, JobInfoSchema } from '../../gen/pps_pb.ts'
import type { CommandContext } from '../command.ts'
import { jobText } from '../printing/job-text.ts'
import { rawText } from '../printing/json.ts'
import { sizeText } from '../../base/sizes.ts'
import { jobStateText } from '../printing/states.ts'
import { denseTable, Table } from '../printing/table.ts'
import { ageText, betweenText, secondsOf } from '../printing/times.ts'
import { jobsClient, streamOrElse } from '../own-clients.ts'
import { ppsClient } from '../pps-client.ts'

interface Batch {
  readonly jobInfo: readonly JobInfo[]
}

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
  const request = name === '' ? {} : { pipeline: { name } }
  const batches = streamOrElse<Batch>(jobsClient(context).listJobs(request), async () =>
    newestFirst(await ppsClient(context).listJob(request)),
  )
  if (flags.isOn('raw')) {
    for await (const { jobInfo } of batches) {
      await out.write(jobInfo.map((info) => rawText(JobInfoSchema, info)).join(''))
    }
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
  for await (const { jobInfo } of batches) {
    for (const info of jobInfo) addRow(table, info, context)
    await table.flush()
  }
  await table.flush()
}

/** A server of 1.5 tells jobs in no order. */
function newestFirst({ jobInfo }: Batch): Batch {
  return { jobInfo: jobInfo.toSorted((left, right) => startOf(right) - startOf(left)) }
}

function startOf({ started }: JobInfo): number {
  return started === undefined ? 0 : secondsOf(started)
}

function addRow(table: Table, info: JobInfo, { clock, out }: CommandContext): void {
  const { job, started, finished, restart, stats } = info
  table.add(
    job?.id ?? '',
    outputText(info),
    ageText(started, clock),
    finished === undefined ? '-' : betweenText(started, finished),
    String(restart),
    progressText(info),
    sizeText(stats?.downloadBytes ?? 0n),
    sizeText(stats?.uploadBytes ?? 0n),
    jobStateText(info.state, out),
  )
}

function progressText({ dataProcessed, dataSkipped, dataRecovered, dataTotal }: JobInfo): string {
  const recovered = dataRecovered === 0n ? '' : ` (${dataRecovered} recovered)`
  return `${dataProcessed} + ${dataSkipped} / ${dataTotal}${recovered}`
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
  const { args, out } = context
  const [id = ''] = args
  const { state, finished } = await ppsClient(context).inspectJob({ job: { id } })
  if (finished === undefined) await ppsClient(context).stopJob({ job: { id } })
  else await out.write(`job ${id} has ended already (${jobStateText(state, out)})\n`)
}
