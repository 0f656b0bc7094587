import type { DeletedCommit, DeletedJob, MovedBranch } from '../../gen/pachyderm_pb.ts'
import { FailedPreconditionError } from '../../base/errors.ts'
import type { CommandContext } from '../command.ts'
import { UsageError } from '../errors.ts'
import { commitsClient } from '../own-clients.ts'
import { pfsClient } from '../pfs-client.ts'
import { sizeText } from '../../base/sizes.ts'
import { Table } from '../printing/table.ts'

interface NamedCommit {
  readonly repo: { readonly name: string }
  readonly id: string
}

/** What goes, or would go. */
interface Deleted {
  readonly commits: readonly DeletedCommit[]
  readonly branches: readonly MovedBranch[]
  readonly jobs: readonly DeletedJob[]
  readonly results: bigint
}

export async function deleteCommit(context: CommandContext): Promise<void> {
  const [name = '', id = ''] = context.args
  const { flags } = context
  const commit = { repo: { name }, id }
  if (flags.isOn('recursive')) await deleteAll(context, commit)
  else if (flags.isOn('dry-run')) await lookAtOne(context, commit)
  else await pfsClient(context).deleteCommit({ commit })
}

/** Only an open commit goes by itself. */
async function lookAtOne(context: CommandContext, commit: NamedCommit): Promise<void> {
  const { finished, commit: found } = await pfsClient(context).inspectCommit({ commit })
  const all = await ask(context, commit, { dryRun: true })
  if (finished !== undefined) {
    await print(context, all, { dryRun: true })
    throw new FailedPreconditionError(
      `commit ${commit.repo.name}/${found?.id ?? commit.id} has already finished: it goes with --recursive only, and all of this with it`,
    )
  }
  const commits = all.commits.filter((one) => one.commit?.id === found?.id)
  const branches = all.branches.filter(({ repo }) => repo?.name === commit.repo.name)
  await print(context, { commits, branches, jobs: [], results: 0n }, { dryRun: true })
}

async function deleteAll(context: CommandContext, commit: NamedCommit): Promise<void> {
  const dryRun = context.flags.isOn('dry-run')
  const transaction = dryRun ? undefined : context.activeTransaction.id
  if (transaction !== undefined) {
    throw new UsageError(
      `transaction ${transaction} is active, and delete-commit --recursive cannot be part of one: it takes effect at once, so finish the transaction before (finish-transaction), or leave it (stop-transaction)`,
    )
  }
  await print(context, await ask(context, commit, { dryRun }), { dryRun })
}

async function ask(
  context: CommandContext,
  commit: NamedCommit,
  { dryRun }: { readonly dryRun: boolean },
): Promise<Deleted> {
  const commits: DeletedCommit[] = []
  const branches: MovedBranch[] = []
  const jobs: DeletedJob[] = []
  let results = 0n
  for await (const batch of commitsClient(context).deleteCommits({ commits: [commit], dryRun })) {
    commits.push(...batch.commits)
    branches.push(...batch.branches)
    jobs.push(...batch.jobs)
    results += batch.datumResults
  }
  return { commits, branches, jobs, results }
}

async function print(
  { out }: CommandContext,
  { commits, branches, jobs, results }: Deleted,
  { dryRun }: { readonly dryRun: boolean },
): Promise<void> {
  const table = new Table(out)
  table.add('WHAT', 'NAME', dryRun ? 'WOULD BE' : 'WAS')
  for (const { commit: gone, sizeBytes } of commits) {
    table.add('commit', `${gone?.repo?.name}/${gone?.id}`, `deleted, ${sizeText(sizeBytes)}`)
  }
  for (const { repo, name, head } of branches) {
    const done = head === undefined ? 'deleted' : `moved to ${head.id}`
    table.add('branch', `${repo?.name}/${name}`, done)
  }
  for (const { job, pipeline, killed } of jobs) {
    table.add('job', `${pipeline?.name} ${job?.id}`, killed ? 'killed' : 'deleted')
  }
  if (results > 0n) table.add('datum results', String(results), 'deleted')
  await table.flush()
}
