import { Code } from '../../base/grpc-wire.ts'
import { NotFoundError } from '../../base/errors.ts'
import { isUnimplemented, RpcError } from '../../client/rpc-error.ts'
import type { BranchTriggerInfo } from '../../gen/pachyderm_pb.ts'
import { type BranchInfo, BranchInfoSchema } from '../../gen/pfs_pb.ts'
import type { CommandContext } from '../command.ts'
import { UsageError } from '../errors.ts'
import { commitsClient, reposClient, streamOrElse } from '../own-clients.ts'
import { pfsClient } from '../pfs-client.ts'
import { rawText } from '../printing/json.ts'
import { sizeText } from '../../base/sizes.ts'
import { Table } from '../printing/table.ts'

interface Batch {
  readonly branchInfo: readonly BranchInfo[]
}

export async function listBranch(context: CommandContext): Promise<void> {
  const { args, flags, out } = context
  const [name = ''] = args
  const request = { repo: { name } }
  const batches = streamOrElse<Batch>(reposClient(context).listBranches(request), () =>
    pfsClient(context).listBranch(request),
  )
  if (flags.isOn('raw')) {
    for await (const { branchInfo } of batches) {
      await out.write(branchInfo.map((info) => rawText(BranchInfoSchema, info)).join(''))
    }
    return
  }
  const triggers = new Map(await triggersOf(context, name))
  const isTriggered = triggers.size > 0
  const table = new Table(out)
  const add = (branch: string, head: string): void => {
    if (!isTriggered) return table.add(branch, head)
    const trigger = triggers.get(branch)
    triggers.delete(branch)
    return table.add(branch, head, trigger === undefined ? '-' : triggerText(trigger))
  }
  if (isTriggered) table.add('BRANCH', 'HEAD', 'TRIGGER')
  else table.add('BRANCH', 'HEAD')
  for await (const { branchInfo } of batches) {
    for (const { name: branch, head } of branchInfo) add(branch, head?.id ?? '')
    await table.flush()
  }
  // One that has not moved yet is not there yet.
  for (const branch of triggers.keys()) add(branch, '-')
  await table.flush()
}

export async function inspectBranch(context: CommandContext): Promise<void> {
  const { args, out } = context
  const [name = '', branch = ''] = args
  const { branchInfo } = await pfsClient(context).listBranch({ repo: { name } })
  const info = branchInfo.find((one) => one.name === branch)
  const trigger = (await triggersOf(context, name)).get(branch)
  if (info === undefined && trigger === undefined) {
    throw new NotFoundError(`branch ${branch} not found in repo ${name}`)
  }
  await out.line(`Name: ${name}@${branch}`)
  await out.line(`Head: ${info?.head?.id ?? 'none yet'}`)
  if (trigger === undefined) return
  await out.line(`Trigger: ${triggerText(trigger)}`)
  const { addedBytes, addedCommits, pipeline } = trigger
  const since = addedCommits === 1n ? '1 commit' : `${addedCommits} commits`
  await out.line(`Since it moved: ${since}, ${sizeText(addedBytes)}`)
  if (pipeline !== undefined) await out.line(`Made by the spec of pipeline: ${pipeline.name}`)
}

/** The triggers of a repo, by branch; a server of 1.5 has none. */
async function triggersOf(
  context: CommandContext,
  name: string,
): Promise<ReadonlyMap<string, BranchTriggerInfo>> {
  const found = new Map<string, BranchTriggerInfo>()
  try {
    const batches = commitsClient(context).listBranchTriggers({ repo: { name } })
    for await (const { triggers } of batches) for (const one of triggers) found.set(one.branch, one)
  } catch (error) {
    const isOld = isUnimplemented(error)
    // A repo that is not there has no branches, as 1.5 says it.
    const isGone = error instanceof RpcError && error.code === Code.notFound
    if (!isOld && !isGone) throw error
  }
  return found
}

/** Such as `master: 10MB or 5 commits`. */
function triggerText({ trigger }: BranchTriggerInfo): string {
  const { branch = '', size = '', commits = 0n, cronSpec = '', all = false } = trigger ?? {}
  const conditions = [
    ...(size === '' ? [] : [size]),
    ...(commits === 0n ? [] : [commits === 1n ? '1 commit' : `${commits} commits`]),
    ...(cronSpec === '' ? [] : [`cron ${JSON.stringify(cronSpec)}`]),
  ]
  return `${branch}: ${conditions.join(all ? ' and ' : ' or ')}`
}

export async function createBranch(context: CommandContext): Promise<void> {
  const { args, flags } = context
  const [name = '', branch = ''] = args
  const [head, source] = [flags.text('head'), flags.text('trigger')]
  const conditions = ['trigger-size', 'trigger-commits', 'trigger-cron']
  const isGiven = conditions.some((flag) => flags.text(flag) !== '') || flags.isOn('trigger-all')
  if (source === '' && isGiven) {
    throw new UsageError('a condition needs --trigger: the branch to follow')
  }
  if (source === '' && head === '') {
    throw new UsageError(
      'give --head, the commit that the branch is to point at, or --trigger, the branch that it is to follow',
    )
  }
  if (head !== '')
    await pfsClient(context).setBranch({ commit: { repo: { name }, id: head }, branch })
  if (source === '') return
  const commits = flags.text('trigger-commits') === '' ? 0 : flags.count('trigger-commits')
  await commitsClient(context).setBranchTrigger({
    repo: { name },
    branch,
    trigger: {
      branch: source,
      all: flags.isOn('trigger-all'),
      size: flags.text('trigger-size'),
      commits: BigInt(commits),
      cronSpec: flags.text('trigger-cron'),
    },
  })
}

export async function setBranch(context: CommandContext): Promise<void> {
  const [name = '', id = '', branch = ''] = context.args
  await pfsClient(context).setBranch({ commit: { repo: { name }, id }, branch })
}

export async function deleteBranch(context: CommandContext): Promise<void> {
  const [name = '', branch = ''] = context.args
  await pfsClient(context).deleteBranch({ repo: { name }, branch })
}
