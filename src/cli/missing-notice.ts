import { RpcError } from '../client/rpc-error.ts'
import { ActiveTransaction } from './active-transaction.ts'
import type { CommandSpec } from './command.ts'
import { readAddress } from './config.ts'

/**
 * What may explain that something was not found: a line, or nothing. `error` is what a command has
 * failed with.
 */
export function missingNotice(
  error: unknown,
  command: CommandSpec | undefined,
  environment: Readonly<Record<string, string | undefined>>,
): string {
  if (!(error instanceof RpcError) || error.kind !== 'not-found') return ''
  // The others are checked against what the transaction would leave.
  if (command === undefined || command.inTransaction === 'part') return ''
  const id = new ActiveTransaction(environment, readAddress(environment)).id
  if (id === undefined || command.name.endsWith('-transaction')) return ''
  return `transaction ${id} is active: what it makes is not there before finish-transaction\n`
}
