import { StatsSchema } from '../../gen/pachyderm_pb.ts'
import type { CommandContext } from '../command.ts'
import { UsageError } from '../errors.ts'
import { jobsClient } from '../own-clients.ts'
import { rawText } from '../printing/json.ts'
import { statsText } from '../printing/stats-text.ts'

export async function stats(context: CommandContext): Promise<void> {
  const { flags, out } = context
  const id = flags.text('job')
  const name = flags.text('pipeline')
  if ((id === '') === (name === '')) {
    throw new UsageError('give either --job or --pipeline', { showsUsage: true })
  }
  const found = await jobsClient(context).inspectStats(
    id === '' ? { pipeline: { name } } : { job: { id } },
  )
  await out.write(flags.isOn('raw') ? rawText(StatsSchema, found) : statsText(found, out))
}
