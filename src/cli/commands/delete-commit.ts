import type { DeletedCommit, DeletedJob, MovedBranch } from '../../gen/pachyderm_pb.ts'
import type { CommandContext } from '../command.ts'
import { UsageError } from '../errors.ts'
import { commitsClient } from '../own-clients.ts'
import { pfsClient } from '../pfs-client.ts'
import { sizeText } from '../../base/sizes.ts'
import { Table } from '../printing/table.ts'

export async function deleteCommit(context: CommandContext): Promise<void> {
  const [name = '', id = ''] = context.args
  const { flags } = context
  const commit = { repo: { name }, id }
  if (flags.isOn('recursive')) {
    await deleteAll(context, commit)
    return
  }
  if (flags.isOn('dry-run')) {
    throw new UsageError(
      '--dry-run needs --recursive: without it, one open commit is deleted, and nothing else',
    )
  }
  await pfsClient(context).deleteCommit({ commit })
}

async function deleteAll(
  context: CommandContext,
  commit: { readonly repo: { readonly name: string }; readonly id: string },
): Promise<void> {
  const dryRun = context.flags.isOn('dry-run')
  const transaction = dryRun ? undefined : context.activeTransaction.id
  if (transaction !== undefined) {
    throw new UsageError(
      `transaction ${transaction} is active, and delete-commit --recursive cannot be part of one: it takes effect at once, so finish the transaction before (finish-transaction), or leave it (stop-transaction)`,
    )
  }
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
  const { out } = context
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
