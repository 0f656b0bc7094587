import { type Client, createClient } from '../client/client.ts'
import { isUnimplemented } from '../client/rpc-error.ts'
import {
  Admin,
  Backups,
  Commits,
  Files,
  Jobs,
  Migrations,
  Pipelines,
  Repos,
  Secrets,
  Trials,
  Transfers,
} from '../gen/pachyderm_pb.ts'
import type { CommandContext } from './command.ts'

// Services that 1.5 does not have.

export function adminClient({ transport }: CommandContext): Client<typeof Admin> {
  return createClient(Admin, transport)
}

export function reposClient({ transport }: CommandContext): Client<typeof Repos> {
  return createClient(Repos, transport)
}

export function backupsClient({ transport }: CommandContext): Client<typeof Backups> {
  return createClient(Backups, transport)
}

export function transfersClient({
  transport,
}: Pick<CommandContext, 'transport'>): Client<typeof Transfers> {
  return createClient(Transfers, transport)
}

export function filesClient({ transport }: CommandContext): Client<typeof Files> {
  return createClient(Files, transport)
}

export function commitsClient({ transport }: CommandContext): Client<typeof Commits> {
  return createClient(Commits, transport)
}

export function jobsClient({ transport }: CommandContext): Client<typeof Jobs> {
  return createClient(Jobs, transport)
}

export function pipelinesClient({ transport }: CommandContext): Client<typeof Pipelines> {
  return createClient(Pipelines, transport)
}

export function secretsClient({ transport }: CommandContext): Client<typeof Secrets> {
  return createClient(Secrets, transport)
}

export function trialsClient({ transport }: CommandContext): Client<typeof Trials> {
  return createClient(Trials, transport)
}

export function migrationsClient({ transport }: CommandContext): Client<typeof Migrations> {
  return createClient(Migrations, transport)
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
