import { Code } from '../base/grpc-wire.ts'
import { createClient, type Client } from '../client/client.ts'
import { RpcError } from '../client/rpc-error.ts'
import * as pachyderm from '../gen/pachyderm_pb.ts'
import * as pfs from '../gen/pfs_pb.ts'
import * as pps from '../gen/pps_pb.ts'
import type { CommandContext } from './command.ts'

export function pfsClient({ transport }: CommandContext): Client<typeof pfs.API> {
  return createClient(pfs.API, transport)
}

export function ppsClient({ transport }: CommandContext): Client<typeof pps.API> {
  return createClient(pps.API, transport)
}

export function filesClient({ transport }: CommandContext): Client<typeof pachyderm.Files> {
  return createClient(pachyderm.Files, transport)
}

export function jobsClient({ transport }: CommandContext): Client<typeof pachyderm.Jobs> {
  return createClient(pachyderm.Jobs, transport)
}

/** What `ours` yields, or, on a server of 1.5, which does not know that call, what `theirs` does. */
export async function* streamOrElse<Item>(
  ours: AsyncIterable<Item>,
  theirs: () => Promise<Item>,
): AsyncGenerator<Item> {
  try {
    yield* ours
  } catch (error) {
    if (!isUnimplemented(error)) throw error
    yield await theirs()
  }
}

export function isUnimplemented(error: unknown): boolean {
  return error instanceof RpcError && error.code === Code.unimplemented
}
