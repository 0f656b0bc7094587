import { Backup } from '../../backups/backup.ts'
import { readForRepos } from '../../backups/restore-reads.ts'
import {
  choiceLines,
  type ChosenSnapshot,
  chooseSnapshot,
  takenText,
} from '../../backups/snapshot-choice.ts'
import { SystemRandom } from '../../base/random.ts'
import type { PulledRepo, WantedObject } from '../../gen/pachyderm_pb.ts'
import { openToRead, placeMessage, secretToRead, wantedPlace } from '../backing-up/places.ts'
import { factsOfChoice, type FactsOfChoice, messageChoice } from '../backing-up/snapshot-facts.ts'
import type { CommandContext } from '../command.ts'
import { backupsClient } from '../own-clients.ts'
import { ShownPull } from '../printing/shown-pull.ts'
import { withStoreWaits } from '../store-waits.ts'

const dataBytes = 1024 * 1024

/** Brings the repos of `--repo` from a backup, beside those that the server has. */
export async function restoreRepos(context: CommandContext): Promise<void> {
  const { flags } = context
  const wanted = wantedPlace(context)
  const secret = await secretToRead(context, wanted)
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
  const choice = await chooseSnapshot(backup, snapshot)
  const { name, bytes: data } = choice
  await bring(context, { ...wish, snapshot: name, data }, { backup, choice })
}

interface BackupHere {
  readonly backup: Backup
  readonly choice: ChosenSnapshot
}

async function bring(
  context: CommandContext,
  request: Parameters<ReturnType<typeof backupsClient>['restoreRepos']>[0],
  /** Of which objects are sent that the server wants. */
  here: BackupHere | undefined,
): Promise<void> {
  const client = backupsClient(context)
  const shown = new ShownPull(context, 'restored')
  let isAnyHere = false
  try {
    const events = client.restoreRepos(request)
    for await (const { event } of withStoreWaits(context, [request.place?.url ?? ''], events)) {
      if (event.case === 'wanted' && here !== undefined) {
        await client.answerRestore(answer(here, event.value))
      } else if (event.case === 'snapshot') {
        await context.out.line(`from snapshot ${event.value}`)
        if (here !== undefined) await tell(context, here.backup.name, factsOfChoice(here.choice))
      } else if (event.case === 'choice') {
        await tell(context, request.place?.url ?? '', messageChoice(event.value))
      } else if (event.case === 'progress' || event.case === 'repo') {
        await shown.show(event)
        if (event.case === 'repo') isAnyHere ||= isHere(event.value)
      }
    }
  } finally {
    shown.end()
  }
  if (!isAnyHere) return
  const place = here?.backup.name ?? request.place?.url ?? ''
  await context.out.line(
    `what is here already stays as it is, and nothing of it comes again: where its files cannot be read, since packs are lost or damaged, stop the server and have them brought by pachd --root DIR --restore-packs ${place}`,
  )
}

/** Nothing has come of it, since all of it is here. */
function isHere({ commits, branches }: PulledRepo): boolean {
  return commits === 0n && branches.length === 0
}

async function tell(
  { out }: Pick<CommandContext, 'out'>,
  place: string,
  choice: FactsOfChoice | undefined,
): Promise<void> {
  if (choice === undefined) return
  const { taken, others } = choice
  await out.line(`  ${takenText(taken)}`)
  for (const line of choiceLines(place, taken, others)) await out.line(line)
}

async function* answer({ backup, choice }: BackupHere, { id, key }: WantedObject) {
  const bytes = await readForRepos(backup, choice, key)
  yield { part: { case: 'wanted', value: id } } as const
  for (let at = 0; at < bytes.length; at += dataBytes) {
    yield { part: { case: 'data', value: bytes.subarray(at, at + dataBytes) } } as const
  }
}
