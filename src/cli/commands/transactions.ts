import { createReadStream } from 'node:fs'
import { FailedPreconditionError } from '../../base/errors.ts'
import { Code } from '../../base/grpc-wire.ts'
import { type Client, createClient } from '../../client/client.ts'
import { RpcError } from '../../client/rpc-error.ts'
import {
  type TransactionInfo,
  TransactionInfoSchema,
  Transactions,
} from '../../gen/pachyderm_pb.ts'
import type { CommandContext } from '../command.ts'
import { UsageError } from '../errors.ts'
import { parseOperations } from '../parsing/operations.ts'
import { rawText } from '../printing/json.ts'
import { storedOperationText } from '../printing/operations.ts'
import { Table } from '../printing/table.ts'
import { ageText } from '../printing/times.ts'
import { visible } from '../printing/visible.ts'
import { boundedText } from '../spec-source.ts'

/** As many operations as go into a transaction, with all that they may put, however it is escaped. */
const operationsBound = {
  mebibytesMax: 64,
  of: 'operations',
  advice: 'name a file of JSON, and put large files before, into commits that are open',
}

function client({ transport }: CommandContext): Client<typeof Transactions> {
  return createClient(Transactions, transport)
}

/** The transaction that is named, else the active one. */
function named({ args, activeTransaction }: CommandContext): string {
  const id = args[0] ?? activeTransaction.id
  if (id !== undefined) return id
  throw new UsageError('no transaction is active: name one, or begin with start-transaction')
}

export async function startTransaction(context: CommandContext): Promise<void> {
  const { flags, out, activeTransaction } = context
  const activates = !flags.isOn('no-activate')
  const active = activeTransaction.id
  if (activates && active !== undefined) {
    throw new FailedPreconditionError(
      `transaction ${active} is active already: finish it with finish-transaction, put it aside with stop-transaction, or use --no-activate`,
    )
  }
  const { id } = await client(context).startTransaction({ description: flags.text('message') })
  if (activates) activeTransaction.set(id)
  await out.line(id)
}

export async function finishTransaction(context: CommandContext): Promise<void> {
  const id = named(context)
  const { operationCount } = await client(context).finishTransaction({ transaction: { id } })
  context.activeTransaction.clear(id)
  const what = operationCount === 1 ? '1 operation' : `${operationCount} operations`
  await context.out.line(`finished transaction ${id}: ${what}`)
}

export async function deleteTransaction(context: CommandContext): Promise<void> {
  const id = named(context)
  try {
    await client(context).deleteTransaction({ transaction: { id } })
  } catch (error) {
    // One that the server has forgotten must not stay active.
    if (isNotFound(error)) context.activeTransaction.clear(id)
    throw error
  }
  context.activeTransaction.clear(id)
}

export async function resumeTransaction(context: CommandContext): Promise<void> {
  const id = named(context)
  const { finished } = await client(context).inspectTransaction({ transaction: { id } })
  if (finished !== undefined) {
    throw new FailedPreconditionError(
      `transaction ${id} has already finished; see inspect-transaction ${id}`,
    )
  }
  context.activeTransaction.set(id)
  await context.out.line(`transaction ${id} is active`)
}

export async function stopTransaction(context: CommandContext): Promise<void> {
  const id = named(context)
  context.activeTransaction.clear(id)
  await context.out.line(
    `transaction ${id} is not active any more, but still open: resume-transaction ${id}`,
  )
}

export async function inspectTransaction(context: CommandContext): Promise<void> {
  const { flags, out } = context
  const info = await client(context).inspectTransaction({ transaction: { id: named(context) } })
  await out.write(
    flags.isOn('raw') ? rawText(TransactionInfoSchema, info) : detailText(info, context),
  )
}

function detailText(info: TransactionInfo, { clock }: CommandContext): string {
  const { transaction, description, started, finished, operations } = info
  let text = `Transaction: ${transaction?.id ?? ''}\n`
  if (description !== '') text += `Description: ${visible(description)}\n`
  text += `Started: ${ageText(started, clock)}\n`
  if (finished !== undefined) text += `Finished: ${ageText(finished, clock)}\n`
  text += `Operations: ${operations.length}\n`
  return text + operations.map((operation) => `  ${storedOperationText(operation)}\n`).join('')
}

export async function listTransaction(context: CommandContext): Promise<void> {
  const { flags, out, clock, activeTransaction } = context
  const active = activeTransaction.id
  const table = new Table(out)
  if (!flags.isOn('raw')) {
    table.add('TRANSACTION', 'STARTED', 'STATE', 'OPERATIONS', 'DESCRIPTION')
  }
  for await (const { transactionInfo } of client(context).listTransactions({})) {
    for (const info of transactionInfo) {
      if (flags.isOn('raw')) await out.write(rawText(TransactionInfoSchema, info))
      else {
        const id = info.transaction?.id ?? ''
        const state = info.finished !== undefined ? 'finished' : id === active ? 'active' : 'open'
        const count = String(info.operationCount)
        table.add(id, ageText(info.started, clock), state, count, info.description)
      }
    }
  }
  await table.flush()
}

export async function runTransaction(context: CommandContext): Promise<void> {
  const { flags, input, out } = context
  const source = flags.text('file')
  const bytes = source === '-' ? input.bytes() : createReadStream(source)
  const name = source === '-' ? 'the standard input' : source
  const operations = parseOperations(await boundedText(bytes, name, operationsBound), name)
  const { results } = await client(context).runTransaction({ operations: [...operations] })
  for (const [index, { operation }] of operations.entries()) {
    const id = results[index]?.commit?.id
    if (operation.case === 'startCommit' && id !== undefined) await out.line(id)
  }
}

function isNotFound(error: unknown): boolean {
  return error instanceof RpcError && error.code === Code.notFound
}
