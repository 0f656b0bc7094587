import { type Client, createClient } from '../client/client.ts'
import { API } from '../gen/pfs_pb.ts'
import type { CommandContext } from './command.ts'

export function pfsClient({ transport }: Pick<CommandContext, 'transport'>): Client<typeof API> {
  return createClient(API, transport)
}
