import type { MessageInitShape } from '@bufbuild/protobuf'
import { timestampFromMs, type Timestamp } from '@bufbuild/protobuf/wkt'
import { goDurationSeconds } from '../../base/go-durations.ts'
import { RpcError } from '../../client/rpc-error.ts'
import { type GetLogsRequestSchema, LogMessageSchema } from '../../gen/pps_pb.ts'
import type { CommandContext } from '../command.ts'
import { UsageError } from '../errors.ts'
import { rawLine } from '../printing/json.ts'
import { ppsClient } from '../pps-client.ts'

export async function getLogs(context: CommandContext): Promise<void> {
  const { flags, out, err } = context
  const master = flags.isOn('master')
  let hasLines = false
  for await (const message of ppsClient(context).getLogs(requestOf(context))) {
    hasLines = true
    if (flags.isOn('raw')) await out.line(rawLine(LogMessageSchema, message))
    // What user code prints brings its own ends of lines.
    else if (message.user) {
      await out.write(message.rawMessage.length > 0 ? message.rawMessage : message.message)
    } else if (master) await out.line(message.message.replace(/\n$/, ''))
  }
  if (hasLines || master) return
  const notice = await lackOfLines(context)
  if (notice !== undefined) await err.line(`Notice: ${notice}`)
}

/** Why nothing came, where that is not because nothing was printed. */
async function lackOfLines(context: CommandContext): Promise<string | undefined> {
  return (await lackOfDatum(context)) ?? (await skippedText(context))
}

/** That another job has what was printed for the datums of this one. */
async function skippedText(context: CommandContext): Promise<string | undefined> {
  const { flags } = context
  const id = flags.text('job')
  if (id === '' || flags.isOn('skipped')) return undefined
  const { dataSkipped } = await ppsClient(context).inspectJob({ job: { id } })
  if (dataSkipped === 0n) return undefined
  const datums = dataSkipped === 1n ? 'a datum' : `${dataSkipped} datums`
  return `job ${id} skipped ${datums}: --skipped shows what other jobs printed for those`
}

/** That there is no such datum, where one was asked for. */
async function lackOfDatum(context: CommandContext): Promise<string | undefined> {
  const { flags } = context
  const id = flags.text('datum')
  const job = flags.text('job')
  if (id === '') return undefined
  const client = ppsClient(context)
  try {
    if (job !== '') await client.inspectDatum({ datum: { id, job: { id: job } } })
    // Asked of all pipelines, the server says whether anybody has run it.
    else await Array.fromAsync(client.getLogs({ inputFileId: id, tail: 1 }))
    return undefined
  } catch (error) {
    if (!(error instanceof RpcError)) throw error
    if (error.kind !== 'not-found') return undefined
    return job === '' ? error.message : `job ${job} has no datum ${id}`
  }
}

/** @throws {UsageError} */
function requestOf({
  flags,
  clock,
}: CommandContext): MessageInitShape<typeof GetLogsRequestSchema> {
  const name = flags.text('pipeline')
  const id = flags.text('job')
  const datum = flags.text('datum')
  if (name === '' && id === '' && datum === '') {
    throw new UsageError('must set either --pipeline or --job (or both)')
  }
  if (flags.isOn('skipped') && id === '') {
    throw new UsageError('--skipped goes with --job, whose skipped datums it is about')
  }
  const since = sinceOf(flags.text('since'), clock.now())
  return {
    ...(name !== '' && { pipeline: { name } }),
    ...(id !== '' && { job: { id } }),
    ...(since !== undefined && { since }),
    inputFileId: datum,
    dataFilters: [...flags.list('inputs')],
    master: flags.isOn('master'),
    follow: flags.isOn('follow'),
    tail: tailOf(flags),
    text: flags.text('search'),
    pipelineVersion: BigInt(flags.count('version')),
    workerId: flags.text('worker'),
    skipped: flags.isOn('skipped'),
  }
}

/** 0 stands for all lines. @throws {UsageError} */
function tailOf(flags: CommandContext['flags']): number {
  if (flags.text('tail') === '' || flags.count('tail') > 0) return flags.count('tail')
  throw new UsageError(
    '--tail must be 1 or more; for the lines that are still to come alone, write --follow --since 0s',
  )
}

const microsPerMilli = 1000
const millisPerSecond = 1000

/** A duration before `now`, as Go writes it, or a time as RFC 3339 has it. @throws {UsageError} */
function sinceOf(text: string, now: number): Timestamp | undefined {
  if (text === '') return undefined
  const seconds = goDurationSeconds(text)
  if (seconds !== undefined) {
    const agoMs = Number.parseFloat(seconds) * millisPerSecond
    return timestampFromMs(Math.floor(now / microsPerMilli - agoMs))
  }
  const ms = /^\d{4}-\d\d-\d\dT/.test(text) ? Date.parse(text) : Number.NaN
  if (!Number.isNaN(ms)) return timestampFromMs(ms)
  throw new UsageError(
    `--since takes a duration such as 10m or 1h30m, or a time such as 2018-01-31T12:00:00Z, not ${JSON.stringify(text)}`,
  )
}
