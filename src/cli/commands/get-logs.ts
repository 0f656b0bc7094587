import { LogMessageSchema } from '../../gen/pps_pb.ts'
import type { CommandContext } from '../command.ts'
import { UsageError } from '../errors.ts'
import { rawLine } from '../printing/json.ts'
import { ppsClient } from '../pps-client.ts'

export async function getLogs(context: CommandContext): Promise<void> {
  const { flags, out } = context
  const name = flags.text('pipeline')
  const id = flags.text('job')
  const master = flags.isOn('master')
  if (name === '' && id === '') {
    throw new UsageError('must set either --pipeline or --job (or both)')
  }
  const messages = ppsClient(context).getLogs({
    ...(name !== '' && { pipeline: { name } }),
    ...(id !== '' && { job: { id } }),
    dataFilters: [...flags.list('inputs')],
    master,
  })
  for await (const message of messages) {
    if (flags.isOn('raw')) await out.line(rawLine(LogMessageSchema, message))
    // What user code prints brings its own ends of lines.
    else if (message.user) await out.write(message.message)
    else if (master) await out.line(message.message.replace(/\n$/, ''))
  }
}
