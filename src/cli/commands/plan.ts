import { create, toBinary } from '@bufbuild/protobuf'
import {
  type PlannedJob,
  type PlanOutline,
  PlanRequestSchema,
  PlanStepSchema,
} from '../../gen/pachyderm_pb.ts'
import { type CreatePipelineRequest, CreatePipelineRequestSchema } from '../../gen/pps_pb.ts'
import type { CommandContext } from '../command.ts'
import { jobsClient } from '../own-clients.ts'
import { rawText } from '../printing/json.ts'
import { PlanProgressLines } from '../printing/plan-progress.ts'
import { sizeText } from '../../base/sizes.ts'
import { Table } from '../printing/table.ts'
import { requestedSpecs } from './pipeline-specs.ts'

/** What the server takes of specs before one that is planned: their number, and half of the bytes. */
const beforeCountMax = 100
const beforeBytesMax = 2 * 1024 * 1024
const shape = { cellWidthMin: 0, gap: 3 }

export async function plan(context: CommandContext): Promise<void> {
  const { flags, out } = context
  const before: CreatePipelineRequest[] = []
  for await (const spec of requestedSpecs(context)) {
    spec.reprocess = flags.isOn('reprocess')
    await printPlan(context, spec, latestOf(before))
    before.push(spec)
  }
  if (!flags.isOn('raw')) await out.line('Nothing was stored.')
}

function latestOf(specs: readonly CreatePipelineRequest[]): readonly CreatePipelineRequest[] {
  let bytes = 0
  const start = specs.findLastIndex((spec, index) => {
    bytes += toBinary(CreatePipelineRequestSchema, spec).length
    return bytes > beforeBytesMax || index < specs.length - beforeCountMax
  })
  return specs.slice(start + 1)
}

/** Of the specs before it in the file, which may write what it reads. */
async function printPlan(
  context: CommandContext,
  spec: CreatePipelineRequest,
  before: readonly CreatePipelineRequest[],
): Promise<void> {
  const { err, flags, out } = context
  const request = create(PlanRequestSchema, { spec, before: [...before] })
  const jobs: PlannedJob[] = []
  let outline: PlanOutline | undefined
  const progress = new PlanProgressLines(context)
  for await (const step of jobsClient(context).plan(request)) {
    if (step.step.case === 'progress') {
      await progress.show(step.step.value.datums)
      continue
    }
    progress.clear()
    if (flags.isOn('raw')) await out.write(rawText(PlanStepSchema, step))
    if (step.step.case === 'outline') outline = step.step.value
    else if (step.step.case === 'job') jobs.push(step.step.value)
  }
  progress.clear()
  if (outline === undefined || flags.isOn('raw')) return
  for (const notice of outline.notices) await err.line(`Notice: ${notice}`)
  await out.line(headline(outline, spec.reprocess))
  for (const { id } of outline.stoppedJobs) await out.line(`Job ${id} would be stopped.`)
  if (outline.spout) await out.line('Its code would run for ever, and read nothing.')
  else await printJobs(context, outline, jobs)
  if (outline.readers.length > 0) {
    const names = outline.readers.map(({ name }) => name).join(', ')
    await out.line(`Pipelines that read its output would follow: ${names}.`)
  }
}

function headline({ pipeline, update, version }: PlanOutline, reprocess: boolean): string {
  const name = pipeline?.name ?? ''
  if (!update) return `Pipeline ${name} would be made.`
  const again = reprocess ? ', and process everything again' : ''
  return `Pipeline ${name} would be updated to version ${version}${again}.`
}

async function printJobs(
  { out }: CommandContext,
  { emptyBranches, moreJobs }: PlanOutline,
  jobs: readonly PlannedJob[],
): Promise<void> {
  if (jobs.length === 0) {
    const why =
      emptyBranches.length === 0
        ? 'what its branches hold has been processed'
        : `there is no finished commit yet on ${emptyBranches.join(', ')}`
    await out.line(`No job would run: ${why}.`)
    return
  }
  const table = new Table(out, shape)
  table.add('JOB', 'READS', 'DATUMS', 'TO PROCESS', 'SKIPPED', 'BYTES')
  for (const planned of jobs) addRow(table, planned)
  if (jobs.length > 1) {
    const processed = jobs.reduce((sum, job) => sum + job.processed, 0n)
    const bytes = jobs.reduce((sum, job) => sum + job.processedBytes, 0n)
    const atMost = jobs.some((job) => job.atMost) ? '<= ' : ''
    table.add('total', '', '', `${atMost}${processed}`, '', `${atMost}${sizeText(bytes)}`)
  }
  await table.flush()
  if (moreJobs) await out.line('More jobs would follow.')
}

function addRow(table: Table, planned: PlannedJob): void {
  const { job, commits, datums, processed, skipped, processedBytes } = planned
  const atMost = planned.atMost ? '<= ' : ''
  table.add(
    job?.id ?? 'new',
    commits.map(({ repo, id }) => `${repo?.name ?? ''}@${id}`).join(' '),
    String(datums),
    `${atMost}${processed}`,
    String(skipped),
    `${atMost}${sizeText(processedBytes)}`,
  )
}
