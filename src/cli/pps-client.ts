import { type Client, createClient } from '../client/client.ts'
import { API } from '../gen/pps_pb.ts'
import type { CommandContext } from './command.ts'

export function ppsClient({ transport }: Pick<CommandContext, 'transport'>): Client<typeof API> {
  return createClient(API, transport)
}
