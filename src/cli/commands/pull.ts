import { addressText, parseAddress } from '../../client/address.ts'
import { RpcError } from '../../client/rpc-error.ts'
import type { CommandContext } from '../command.ts'
import { LazyTransport } from '../lazy-transport.ts'
import { transfersClient } from '../own-clients.ts'
import { ShownPull } from '../printing/shown-pull.ts'
import { RelayedCalls } from '../pushing/relayed-calls.ts'

/** Brings what is new of repos of another server here. */
export async function pull(context: CommandContext): Promise<void> {
  await bring(context, { onlyNew: false })
}

/** The same of repos that are not here yet. */
export async function clone(context: CommandContext): Promise<void> {
  await bring(context, { onlyNew: true })
}

/** The other way round: the other server pulls, through this program. */
export async function push(context: CommandContext): Promise<void> {
  const [to = '', ...repos] = context.args
  const address = addressText(parseAddress(to))
  await using transport = new LazyTransport(to, context.clock)
  const there = transfersClient({ transport })
  const { flags } = context
  const [dryRun, withProvenance] = [flags.isOn('dry-run'), flags.isOn('with-provenance')]
  const broken = new AbortController()
  const calls = new RelayedCalls(
    { from: context.transport, to: there },
    { repos, withProvenance },
    (reason) => broken.abort(reason),
  )
  const shown = new ShownPull(context, 'pushed')
  try {
    const request = { repos: [...repos], withProvenance, dryRun }
    for await (const { event } of there.push(request, { signal: broken.signal })) {
      if (event.case === 'call') calls.start(event.value)
      else await shown.show(event)
    }
    await calls.settled()
  } catch (thrown) {
    const error: unknown = broken.signal.aborted ? broken.signal.reason : thrown
    if (!(error instanceof RpcError)) throw error
    const { code, kind } = error
    const text = `${address} says, and "here" is that server: ${error.message}`
    throw new RpcError(code, text, { cause: error, ...(kind !== undefined && { kind }) })
  } finally {
    shown.end()
  }
}

async function bring(
  context: CommandContext,
  { onlyNew }: { readonly onlyNew: boolean },
): Promise<void> {
  const [from = '', ...repos] = context.args
  const address = addressText(parseAddress(from))
  const { flags } = context
  const [dryRun, withProvenance] = [flags.isOn('dry-run'), flags.isOn('with-provenance')]
  const request = { address, repos: [...repos], onlyNew, dryRun, withProvenance }
  const shown = new ShownPull(context, 'pulled')
  try {
    for await (const { event } of transfersClient(context).pull(request)) await shown.show(event)
  } finally {
    shown.end()
  }
}
