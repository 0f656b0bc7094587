import { Backup } from '../../backups/backup.ts'
import { snapshotKey } from '../../backups/format.ts'
import { readForRestore } from '../../backups/store-backups.ts'
import { SystemRandom } from '../../base/random.ts'
import type { WantedObject } from '../../gen/pachyderm_pb.ts'
import { openToRead, placeMessage, secretOf, wantedPlace } from '../backing-up/places.ts'
import type { CommandContext } from '../command.ts'
import { backupsClient } from '../own-clients.ts'
import { ShownPull } from '../printing/shown-pull.ts'

const dataBytes = 1024 * 1024

/** Brings the repos of `--repo` from a backup, beside those that the server has. */
export async function restoreRepos(context: CommandContext): Promise<void> {
  const { flags } = context
  const wanted = wantedPlace(context)
  const secret = await secretOf(context)
  const wish = {
    repos: [...flags.list('repo')],
    withProvenance: flags.isOn('with-provenance'),
    dryRun: flags.isOn('dry-run'),
  }
  const snapshot = flags.text('snapshot')
  if (wanted.kind === 'url') {
    const place = placeMessage(wanted.url, secret)
    await bring(context, { ...wish, place, snapshot }, undefined)
    return
  }
  await using place = await openToRead(wanted, context)
  const backup = await Backup.open(place, { secret, random: new SystemRandom() })
  const name = await backup.find(snapshot)
  const data = await backup.read(snapshotKey(name))
  await bring(context, { ...wish, snapshot: name, data }, backup)
}

async function bring(
  context: CommandContext,
  request: Parameters<ReturnType<typeof backupsClient>['restoreRepos']>[0],
  /** Of which objects are sent that the server wants. */
  backup: Backup | undefined,
): Promise<void> {
  const client = backupsClient(context)
  const shown = new ShownPull(context, 'restored')
  try {
    for await (const { event } of client.restoreRepos(request)) {
      if (event.case === 'wanted' && backup !== undefined) {
        await client.answerRestore(answer(backup, event.value))
      } else if (event.case === 'snapshot') {
        await context.out.line(`from snapshot ${event.value}`)
      } else if (event.case === 'progress' || event.case === 'repo') await shown.show(event)
    }
  } finally {
    shown.end()
  }
}

async function* answer(backup: Backup, { id, key }: WantedObject) {
  const bytes = await readForRestore(backup, key)
  yield { part: { case: 'wanted', value: id } } as const
  for (let at = 0; at < bytes.length; at += dataBytes) {
    yield { part: { case: 'data', value: bytes.subarray(at, at + dataBytes) } } as const
  }
}
