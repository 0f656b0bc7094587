import { FailedPreconditionError } from '../../base/errors.ts'
import { addressText, parseAddress } from '../../client/address.ts'
import type { PulledRepo, PullProgress } from '../../gen/pachyderm_pb.ts'
import type { CommandContext } from '../command.ts'
import { LazyTransport } from '../lazy-transport.ts'
import { transfersClient } from '../own-clients.ts'
import { sizeText } from '../../base/sizes.ts'
import { StatusLine } from '../printing/status-line.ts'

/** Brings what is new of repos of another server here. */
export async function pull(context: CommandContext): Promise<void> {
  await bring(context, { onlyNew: false })
}

/** The same of repos that are not here yet. */
export async function clone(context: CommandContext): Promise<void> {
  await bring(context, { onlyNew: true })
}

/** The other way round: the other server pulls. */
export async function push(context: CommandContext): Promise<void> {
  const [to = '', ...repos] = context.args
  const there = parseAddress(to)
  const own = context.flags.text('as')
  const here = parseAddress(own === '' ? context.address : own)
  if (own === '' && isLoopback(here.host) && !isLoopback(there.host)) {
    throw new FailedPreconditionError(
      `pachd at ${addressText(there)} fetches from this server, and does not reach it as ${addressText(here)}: say with --as HOST:PORT how it does`,
    )
  }
  await using transport = new LazyTransport(to, context.clock)
  const options = { onlyNew: false, isPush: true }
  await show(context, transport, { address: addressText(here), repos, ...options })
}

async function bring(
  context: CommandContext,
  { onlyNew }: { readonly onlyNew: boolean },
): Promise<void> {
  const [from = '', ...repos] = context.args
  const address = addressText(parseAddress(from))
  await show(context, context.transport, { address, repos, onlyNew, isPush: false })
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || host.startsWith('127.')
}

async function show(
  context: CommandContext,
  transport: CommandContext['transport'],
  wish: {
    readonly address: string
    readonly repos: readonly string[]
    readonly onlyNew: boolean
    readonly isPush: boolean
  },
): Promise<void> {
  const { flags, out } = context
  const { address, repos, onlyNew, isPush } = wish
  const dryRun = flags.isOn('dry-run')
  const line = new StatusLine(context)
  const request = {
    address,
    repos: [...repos],
    onlyNew,
    dryRun,
    withProvenance: flags.isOn('with-provenance'),
  }
  let bytes = new Map<string, bigint>()
  try {
    for await (const { event } of transfersClient({ transport }).pull(request)) {
      if (event.case === 'progress') {
        bytes = bytes.set(event.value.repo, event.value.bytes)
        line.show(progressText(event.value))
      } else if (event.case === 'repo') {
        line.clear()
        const verb = isPush ? 'pushed' : 'pulled'
        const came = dryRun ? undefined : (bytes.get(event.value.repo) ?? 0n)
        await out.line(repoText(event.value, dryRun ? `would be ${verb}` : verb, came))
      }
    }
  } finally {
    line.clear()
  }
}

function progressText({ repo, commitsDone, commitsTotal, files, bytes }: PullProgress): string {
  return `${repo}: ${commitsDone} of ${commitsTotal} commits, ${files} files, ${sizeText(Number(bytes))}`
}

function repoText(
  { repo, commits, branches, ahead, tags, otherTags }: PulledRepo,
  verb: string,
  bytes: bigint | undefined,
): string {
  const counted = commits === 1n ? '1 commit' : `${commits} commits`
  const moved = branches.length === 0 ? 'no branch moved' : `to ${branches.join(', ')}`
  const came = bytes === undefined ? '' : `, ${sizeText(Number(bytes))} of files`
  const tagged = tags.length === 0 ? '' : `, tagged ${tags.join(', ')}`
  const there = ahead.length === 0 ? '' : `; ${ahead.join(', ')} has more here than there`
  const other = otherTags.length === 0 ? '' : `; tag ${otherTags.join(', ')} is another one here`
  return `${repo}: ${counted} ${verb}, ${moved}${tagged}${came}${there}${other}`
}
