import { create } from '@bufbuild/protobuf'
import { NotFoundError } from '../../base/errors.ts'
import {
  CreateTrialRequestSchema,
  DiffKind,
  FileDiffSchema,
  TrialInfoSchema,
  TrialResults,
  TrialState,
  type FileDiff,
  type TrialData,
  type TrialDataSchema,
  type TrialInfo,
  type TrialPipeline,
} from '../../gen/pachyderm_pb.ts'
import type { MessageInitShape } from '@bufbuild/protobuf'
import type { CommandContext } from '../command.ts'
import { UsageError } from '../errors.ts'
import { filesClient, trialsClient } from '../own-clients.ts'
import { rawText } from '../printing/json.ts'
import { sizeText } from '../../base/sizes.ts'
import { trialStateText } from '../printing/states.ts'
import { Table } from '../printing/table.ts'
import { ageText } from '../printing/times.ts'
import { requestedSpecs } from './pipeline-specs.ts'

const shape = { cellWidthMin: 0, gap: 3 }

export async function createTrial(context: CommandContext): Promise<void> {
  const { args, flags } = context
  const [trial = ''] = args
  const hasSpecs = flags.text('file') !== '' || flags.text('template') !== ''
  const info = await trialsClient(context).createTrial(
    create(CreateTrialRequestSchema, {
      trial,
      specs: hasSpecs ? await Array.fromAsync(requestedSpecs(context)) : [],
      data: flags.list('data').map(parseData),
      results: resultsOf(context),
    }),
  )
  await printTrial(context, info)
}

function resultsOf({ flags }: CommandContext): TrialResults {
  const keeps = flags.isOn('keep-results')
  if (!flags.isOn('reprocess')) return keeps ? TrialResults.ALL : TrialResults.UNSPECIFIED
  if (!keeps) return TrialResults.NONE
  throw new UsageError('cannot use both --keep-results and --reprocess')
}

/** `repo@branch=repo@other`; the repo may be left out behind the equals sign. */
function parseData(text: string): MessageInitShape<typeof TrialDataSchema> {
  const [replaced = '', given = '', ...more] = text.split('=')
  const [repo = '', branch = ''] = replaced.split('@')
  const [otherRepo = '', other = otherRepo] = given.split('@')
  const isSame = otherRepo === repo || !given.includes('@')
  if (more.length === 0 && repo !== '' && branch !== '' && other !== '' && isSame) {
    return { branch: { repo: { name: repo }, id: branch }, other }
  }
  throw new UsageError(
    `--data ${text} makes no sense: write repo@branch=repo@other, two branches of one repo, as in images@master=images@cleaned`,
  )
}

export async function inspectTrial(context: CommandContext): Promise<void> {
  const { args, flags, out } = context
  const [trial = ''] = args
  const info = await trialsClient(context).inspectTrial({ trial, block: flags.isOn('block') })
  if (flags.isOn('raw')) await out.write(rawText(TrialInfoSchema, info))
  else await printTrial(context, info)
}

async function printTrial(context: CommandContext, info: TrialInfo): Promise<void> {
  const { out, clock } = context
  await out.line(`Name: ${info.trial}`)
  await out.line(`Created: ${ageText(info.created, clock)}`)
  for (const data of info.data) await out.line(`Data: ${dataText(data)}`)
  const table = new Table(out, shape)
  table.add('PIPELINE', 'TRIES', 'CHANGE', 'STATE', 'DATUMS', 'PROCESSED', 'SKIPPED', 'JOB')
  for (const one of info.pipelines) addPipeline(table, one, context)
  await table.flush()
  if (info.pipelines.some(({ state }) => state === TrialState.RUNNING)) {
    await out.line(`It runs; pachctl inspect-trial ${info.trial} --block waits for it`)
    return
  }
  if (info.obstacles.length === 0) {
    await out.line(`Can be merged: pachctl merge-trial ${info.trial}`)
    return
  }
  await out.line('Cannot be merged now:')
  for (const obstacle of info.obstacles) await out.line(`  ${obstacle}`)
}

function addPipeline(table: Table, one: TrialPipeline, { out }: CommandContext): void {
  const hasRun = one.job !== undefined
  table.add(
    one.pipeline?.name ?? '',
    one.tries?.name ?? '',
    changeText(one),
    trialStateText(one.state, out),
    hasRun ? String(one.datums) : '-',
    hasRun ? String(one.processed) : '-',
    hasRun ? String(one.skipped) : '-',
    one.job?.id ?? '-',
  )
}

function changeText(one: TrialPipeline): string {
  if (one.new) return 'new'
  return one.changed ? 'changed' : '-'
}

function dataText({ branch, other }: TrialData): string {
  const repo = branch?.repo?.name ?? ''
  return `${repo}@${branch?.id ?? ''} is ${repo}@${other}`
}

export async function listTrial(context: CommandContext): Promise<void> {
  const { flags, out, clock } = context
  const isRaw = flags.isOn('raw')
  const table = new Table(out)
  table.add('TRIAL', 'CREATED', 'PIPELINES', 'MERGE')
  for await (const { trials } of trialsClient(context).listTrials({})) {
    for (const info of trials) {
      if (isRaw) await out.write(rawText(TrialInfoSchema, info))
      const { created, pipelines, obstacles, trial } = info
      const verdict = obstacles.length === 0 ? 'can be merged' : `${obstacles.length} in the way`
      table.add(trial, ageText(created, clock), String(pipelines.length), verdict)
    }
  }
  if (!isRaw) await table.flush()
}

export async function diffTrial(context: CommandContext): Promise<void> {
  const { args, flags, out } = context
  const [trial = '', where = ''] = args
  const [name = '', path = '/'] = splitOnce(where, ':')
  const { pipelines } = await trialsClient(context).inspectTrial({ trial })
  const wanted = pipelines.filter(({ tries }) => name === '' || tries?.name === name)
  if (wanted.length === 0) {
    const names = pipelines.map(({ tries }) => tries?.name ?? '').join(', ')
    throw new NotFoundError(`trial ${trial} has no pipeline ${name}; it has ${names}`)
  }
  const isRaw = flags.isOn('raw')
  const table = new Table(out, shape)
  table.add('PIPELINE', 'FILE', 'CHANGE', 'MAIN SIZE', 'TRIAL SIZE')
  let hasRows = false
  for (const one of wanted) {
    for await (const diffs of differences(context, one, path)) {
      for (const diff of diffs) {
        if (isRaw) await out.write(rawText(FileDiffSchema, diff))
        else addDifference(table, one, diff)
      }
      hasRows ||= diffs.length > 0
      if (!isRaw) await table.flushLong()
    }
  }
  if (isRaw) return
  if (hasRows) await table.flush()
  else await out.line('No file differs.')
}

async function* differences(
  context: CommandContext,
  { mainHead, trialHead, pipeline }: TrialPipeline,
  path: string,
): AsyncGenerator<readonly FileDiff[]> {
  if (trialHead === undefined) {
    await context.err.line(`Notice: ${pipeline?.name ?? ''} has written nothing yet`)
    return
  }
  const newFile = { commit: trialHead, path }
  // Without one, all is new: a commit is compared with its parent, and the first has none.
  const request =
    mainHead === undefined ? { newFile } : { newFile, oldFile: { commit: mainHead, path } }
  for await (const { diffs } of filesClient(context).diffFiles(request)) yield diffs
}

function addDifference(table: Table, { tries }: TrialPipeline, diff: FileDiff): void {
  const { kind, newFile, oldFile } = diff
  table.add(
    tries?.name ?? '',
    (newFile ?? oldFile)?.file?.path ?? '',
    kind === DiffKind.ADDED ? 'added' : kind === DiffKind.REMOVED ? 'removed' : 'changed',
    oldFile === undefined ? '-' : sizeText(oldFile.sizeBytes),
    newFile === undefined ? '-' : sizeText(newFile.sizeBytes),
  )
}

function splitOnce(text: string, separator: string): readonly string[] {
  const at = text.indexOf(separator)
  return at === -1 ? [text] : [text.slice(0, at), text.slice(at + separator.length)]
}

export async function mergeTrial(context: CommandContext): Promise<void> {
  const [trial = ''] = context.args
  const { pipelines, data } = await trialsClient(context).mergeTrial({ trial })
  for (const { branch, other } of data) {
    const repo = branch?.repo?.name ?? ''
    await context.out.line(`${repo}@${branch?.id ?? ''} is now what ${repo}@${other} is.`)
  }
  for (const one of pipelines) {
    const name = one.tries?.name ?? ''
    await context.out.line(one.new ? `${name} is a new pipeline.` : `${name} is merged.`)
  }
}

export async function deleteTrial(context: CommandContext): Promise<void> {
  const [trial = ''] = context.args
  await trialsClient(context).deleteTrial({ trial })
}
