import {
  type DatumInfo,
  DatumInfoSchema,
  DatumState,
  DatumStateSchema,
  type InputFile,
} from '../../gen/pps_pb.ts'
import type { CommandContext } from '../command.ts'
import { rawText } from '../printing/json.ts'
import { sizeText } from '../../base/sizes.ts'
import { datumStateText } from '../printing/states.ts'
import { Table, tableText } from '../printing/table.ts'
import { goDurationText, secondsOf, spanText } from '../printing/times.ts'
import { visible } from '../printing/visible.ts'
import { jobsClient, streamOrElse } from '../own-clients.ts'
import { ppsClient } from '../pps-client.ts'

interface Batch {
  readonly datumInfo: readonly DatumInfo[]
}

/** Prints each batch when it comes. */
export async function listDatum(context: CommandContext): Promise<void> {
  const { args, flags, out } = context
  const [id = ''] = args
  const request = { job: { id } }
  const batches = streamOrElse<Batch>(jobsClient(context).listDatums(request), () =>
    ppsClient(context).listDatum(request),
  )
  const isRaw = flags.isOn('raw')
  const table = new Table(out)
  table.add('ID', 'STATUS', 'TIME')
  for await (const { datumInfo } of batches) {
    if (isRaw) await out.write(datumInfo.map((info) => rawText(DatumInfoSchema, info)).join(''))
    else {
      for (const info of datumInfo) addRow(table, info, context)
      await table.flush()
    }
  }
  if (!isRaw) await table.flush()
}

function addRow(table: Table, info: DatumInfo, { out }: CommandContext): void {
  table.add(info.datum?.id ?? '', datumStateText(info.state, out), timeText(info))
}

function timeText({ stats, state }: DatumInfo): string {
  if (stats === undefined || state === DatumState.SKIPPED) return '-'
  const { downloadTime, processTime, uploadTime } = stats
  let seconds = 0
  for (const duration of [downloadTime, processTime, uploadTime]) {
    if (duration !== undefined) seconds += secondsOf(duration)
  }
  return seconds === 0 ? '-' : spanText(seconds)
}

export async function inspectDatum(context: CommandContext): Promise<void> {
  const { args, flags, out } = context
  const [job = '', id = ''] = args
  const info = await ppsClient(context).inspectDatum({ datum: { id, job: { id: job } } })
  await out.write(flags.isOn('raw') ? rawText(DatumInfoSchema, info) : detailText(info))
}

function detailText(info: DatumInfo): string {
  const { datum, stats, pfsState, reason } = info
  const times = [stats?.downloadTime, stats?.processTime, stats?.uploadTime] as const
  const rows = [
    ['ID', datum?.id ?? ''],
    ['Job ID', datum?.job?.id ?? ''],
    ['State', DatumStateSchema.value[info.state]?.name ?? String(info.state)],
    ...(reason === '' ? [] : [['Reason', reason]]),
    ['Data Downloaded', sizeText(stats?.downloadBytes ?? 0n)],
    ['Data Uploaded', sizeText(stats?.uploadBytes ?? 0n)],
    ['Total Time', goDurationText(totalOf(times))],
    ['Download Time', goDurationText(times[0])],
    ['Process Time', goDurationText(times[1])],
    ['Upload Time', goDurationText(times[2])],
  ]
  const shape = { cellWidthMin: 10, gap: 3 }
  const { commit, path = '' } = pfsState ?? {}
  // The job has no output commit, or none yet.
  if (commit === undefined || commit.id === '') {
    return `${tableText(rows, shape)}${inputLines(info.data)}`
  }
  const files = [
    ['  REPO', 'COMMIT', 'PATH'],
    [`  ${commit.repo?.name ?? ''}`, commit.id, path],
  ]
  return `${tableText(rows, shape)}\nPFS State:\n${tableText(files, shape)}${inputLines(info.data)}`
}

function inputLines(files: readonly InputFile[]): string {
  if (files.length === 0) return ''
  return `\nInputs:\n${files.map(({ path }) => `  ${visible(path)}\n`).join('')}`
}

function totalOf(
  times: readonly ({ readonly seconds: bigint; readonly nanos: number } | undefined)[],
): Parameters<typeof goDurationText>[0] {
  let nanos = 0n
  for (const time of times) {
    if (time !== undefined) nanos += time.seconds * 1_000_000_000n + BigInt(time.nanos)
  }
  return {
    $typeName: 'google.protobuf.Duration',
    seconds: nanos / 1_000_000_000n,
    nanos: Number(nanos % 1_000_000_000n),
  }
}

export async function restartDatum(context: CommandContext): Promise<void> {
  const [id = '', filters = ''] = context.args
  await ppsClient(context).restartDatum({ job: { id }, dataFilters: filters.split(',') })
}
