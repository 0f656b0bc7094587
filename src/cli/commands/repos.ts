import type { CommandContext } from '../command.ts'
import { UsageError } from '../errors.ts'
import { type RepoInfo, RepoInfoSchema } from '../../gen/pfs_pb.ts'
import { rawText } from '../printing/json.ts'
import { sizeText } from '../../base/sizes.ts'
import { Table } from '../printing/table.ts'
import { ageText } from '../printing/times.ts'
import { reposClient, streamOrElse } from '../own-clients.ts'
import { pfsClient } from '../pfs-client.ts'

interface Batch {
  readonly repoInfo: readonly RepoInfo[]
}

export async function createRepo(context: CommandContext): Promise<void> {
  const [name = ''] = context.args
  const description = context.flags.text('description')
  await pfsClient(context).createRepo({ repo: { name }, description })
}

/** A call of its own: the one of 1.5 would replace what the repo is made from, too. */
export async function updateRepo(context: CommandContext): Promise<void> {
  const { args, flags } = context
  const [name = ''] = args
  if (flags.list('description').length === 0) {
    throw new UsageError("say what to change: --description TEXT, which may be ''", {
      showsUsage: true,
    })
  }
  const description = flags.text('description')
  await reposClient(context).updateRepo({ repo: { name }, description })
}

export async function inspectRepo(context: CommandContext): Promise<void> {
  const { flags, out } = context
  const [name = ''] = context.args
  const info = await pfsClient(context).inspectRepo({ repo: { name } })
  await out.write(flags.isOn('raw') ? rawText(RepoInfoSchema, info) : detailText(info, context))
}

function detailText(info: RepoInfo, { clock }: CommandContext): string {
  const { repo, description, created, sizeBytes, provenance } = info
  let text = `Name: ${repo?.name ?? ''}\n`
  if (description !== '') text += `Description: ${description}\n`
  text += `Created: ${ageText(created, clock)}\nSize: ${sizeText(sizeBytes)}\n`
  if (provenance.length > 0) {
    text += `Provenance: ${provenance.map(({ name }) => ` ${name} `).join('')} \n`
  }
  return text
}

export async function listRepo(context: CommandContext): Promise<void> {
  const { flags, out, clock } = context
  const provenance = flags.list('provenance').map((name) => ({ name }))
  const batches = streamOrElse<Batch>(reposClient(context).listRepos({ provenance }), () =>
    pfsClient(context).listRepo({ provenance }),
  )
  const isRaw = flags.isOn('raw')
  const table = new Table(out)
  if (!isRaw) table.add('NAME', 'CREATED', 'SIZE')
  for await (const { repoInfo } of batches) {
    if (isRaw) await out.write(repoInfo.map((info) => rawText(RepoInfoSchema, info)).join(''))
    else {
      for (const { repo, created, sizeBytes } of repoInfo) {
        table.add(repo?.name ?? '', ageText(created, clock), sizeText(sizeBytes))
      }
    }
    await table.flush()
  }
  await table.flush()
}

export async function deleteRepo(context: CommandContext): Promise<void> {
  const { args, flags } = context
  const [name] = args
  const all = flags.isOn('all')
  if (all && name !== undefined) {
    throw new UsageError('cannot use the --all flag with an argument')
  }
  if (!all && name === undefined) {
    throw new UsageError('either a repo name or the --all flag needs to be provided')
  }
  const force = flags.isOn('force')
  await pfsClient(context).deleteRepo(
    name === undefined ? { all, force } : { repo: { name }, force },
  )
}
