import { Backup } from '../../backups/backup.ts'
import { readForRestore, readLeftForRestore, requirePacks } from '../../backups/restore-reads.ts'
import type { LostObject } from '../../backups/restoring.ts'
import {
  choiceLines,
  chooseSnapshot,
  type SnapshotFacts,
  takenText,
} from '../../backups/snapshot-choice.ts'
import { DataLossError } from '../../base/errors.ts'
import { Code } from '../../base/grpc-wire.ts'
import { RpcError } from '../../client/rpc-error.ts'
import { RestartError, isGone } from '../backing-up/server-restart.ts'
import { SystemRandom } from '../../base/random.ts'
import { openToRead, placeMessage, secretToRead, wantedPlace } from '../backing-up/places.ts'
import { factsOfChoice, type FactsOfChoice, messageChoice } from '../backing-up/snapshot-facts.ts'
import { lostWith } from '../lost-connection.ts'
import type { CommandContext } from '../command.ts'
import { UsageError } from '../errors.ts'
import { backupsClient } from '../own-clients.ts'
import { sizeText } from '../../base/sizes.ts'
import { StatusLine } from '../printing/status-line.ts'
import { withStoreWaits } from '../store-waits.ts'
import { printCheck } from './fsck.ts'
import { restoreRepos } from './restore-repos.ts'

const dataBytes = 1024 * 1024
/** How long a server may take to start once more; it brings metadata up to date before. */
const restartMsMax = 300_000
const askAgainMs = 200

/** Restores a backup into an empty server, which starts once more at the end; or repos of it. */
export async function restore(context: CommandContext): Promise<void> {
  const { flags } = context
  if (flags.list('repo').length > 0) {
    if (flags.isOn('skip-damaged')) {
      throw new UsageError('--skip-damaged is for a whole restore, without --repo')
    }
    await restoreRepos(context)
    return
  }
  if (flags.isOn('with-provenance') || flags.isOn('dry-run')) {
    throw new UsageError('--with-provenance and --dry-run go with --repo')
  }
  const wanted = wantedPlace(context)
  const secret = await secretToRead(context, wanted)
  const [text, skipDamaged] = [flags.text('snapshot'), flags.isOn('skip-damaged')]
  let snapshot = ''
  let facts: SnapshotFacts | undefined
  const named = (name: string): void => void (snapshot = name)
  const chosen = async (place: string, choice: FactsOfChoice | undefined): Promise<void> => {
    if (choice === undefined) return
    facts = choice.taken
    for (const line of choiceLines(place, choice.taken, choice.others)) await context.out.line(line)
  }
  const wish = { text, skipDamaged, named, chosen }
  let lost: readonly LostObject[]
  try {
    if (wanted.kind === 'url') {
      lost = await byServer(context, placeMessage(wanted.url, secret), wish)
    } else {
      await using place = await openToRead(wanted, context)
      const backup = await Backup.open(place, { secret, random: new SystemRandom() })
      lost = await fromHere(context, backup, wish)
    }
  } catch (error) {
    if (skipDamaged && (await wasRestored(context, snapshot, error))) {
      await context.out.line(`this server was restored from snapshot ${snapshot} before`)
      await tellLosses(context)
    }
    throw lostWith(error, 'nothing of the backup shows yet; the same command goes on with it')
  }
  for (const { key, what } of lost) await context.out.line(`lost in the backup: ${key}: ${what}`)
  await finish(context, snapshot)
  const taken = facts === undefined ? '' : `, ${takenText(facts)}`
  await context.out.line(`restored snapshot ${snapshot}${taken}; pachctl fsck looks through it`)
  if (lost.length === 0) return
  await tellLosses(context)
  // Nothing that is restored needs it, but not all has come.
  throw new DataLossError('packs are missing or damaged in the backup, and all else was restored')
}

async function tellLosses(context: CommandContext): Promise<void> {
  await context.out.line('what is lost concerns, as pachctl fsck tells it:')
  await printCheck(context, { full: false, fix: false, isRaw: false })
}

/**
 * Whether a restore is refused by a server that has that snapshot already: whoever brought it may have been stopped
 * before it was told what is lost.
 */
async function wasRestored(
  context: CommandContext,
  snapshot: string,
  refusal: unknown,
): Promise<boolean> {
  const isRefusal = refusal instanceof RpcError && refusal.code === Code.failedPrecondition
  if (!isRefusal || snapshot === '') return false
  try {
    return !(await backupsClient(context).finishRestore({ snapshot })).restarting
  } catch (error) {
    if (error instanceof RpcError && error.code === Code.failedPrecondition) return false
    throw error
  }
}

interface Wish {
  /** The beginning of a snapshot's name, or empty. */
  readonly text: string
  readonly skipDamaged: boolean
  /** Is told the snapshot's name. */
  readonly named: (snapshot: string) => void
  /** Is told what is known of it, before anything comes. */
  readonly chosen: (place: string, choice: FactsOfChoice | undefined) => Promise<void>
}

async function byServer(
  context: CommandContext,
  place: ReturnType<typeof placeMessage>,
  { text, skipDamaged, named, chosen }: Wish,
): Promise<readonly LostObject[]> {
  const line = new StatusLine(context)
  const lost: LostObject[] = []
  const request = { place, snapshot: text, skipDamaged }
  try {
    const told = backupsClient(context).restore(request)
    for await (const progress of withStoreWaits(context, [place.url ?? ''], told)) {
      const { snapshot, objectsDone, objectsTotal, bytesRead } = progress
      named(snapshot)
      await chosen(place.url ?? '', messageChoice(progress.choice))
      lost.push(...progress.lost)
      line.show(`${objectsDone} of ${objectsTotal} objects, ${sizeText(Number(bytesRead))} read`)
    }
    return lost
  } finally {
    line.clear()
  }
}

async function fromHere(
  context: CommandContext,
  backup: Backup,
  { text, skipDamaged, named, chosen }: Wish,
): Promise<readonly LostObject[]> {
  const client = backupsClient(context)
  const choice = await chooseSnapshot(backup, text)
  const { name, bytes: data, snapshot } = choice
  named(name)
  await chosen(backup.name, factsOfChoice(choice))
  const missing: string[] = []
  let objectsTotal = 0
  for await (const response of client.beginRestore({ snapshot: name, data, skipDamaged })) {
    missing.push(...response.missing)
    objectsTotal = Number(response.objectsTotal)
  }
  if (!skipDamaged) await requirePacks({ name, snapshot }, [backup], { keys: missing })
  const line = new StatusLine(context)
  const lost: LostObject[] = []
  async function* requests() {
    let done = objectsTotal - missing.length
    let sent = 0
    for (const key of missing) {
      const bytes = skipDamaged
        ? await readLeftForRestore(backup, key, snapshot)
        : await readForRestore(backup, key)
      if (!(bytes instanceof Uint8Array)) {
        lost.push(bytes)
        continue
      }
      const object = { key, sizeBytes: BigInt(bytes.length) }
      yield { part: { case: 'object', value: object } } as const
      for (let at = 0; at < bytes.length; at += dataBytes) {
        const value = bytes.subarray(at, at + dataBytes)
        yield { part: { case: 'data', value } } as const
      }
      done += 1
      sent += bytes.length
      line.show(`${done} of ${objectsTotal} objects, ${sizeText(sent)} sent`)
    }
  }
  try {
    if (missing.length > 0) lost.push(...(await client.putRestored(requests())).lost)
    return lost
  } finally {
    line.clear()
  }
}

/** Asks until the server has started once more. */
async function finish(context: CommandContext, snapshot: string): Promise<void> {
  const { clock } = context
  const endMs = clock.monotonicMs() + restartMsMax
  const line = new StatusLine(context)
  let isRestarting = false
  try {
    for (;;) {
      try {
        const { restarting } = await backupsClient(context).finishRestore({ snapshot })
        if (!restarting) return
        isRestarting = true
        line.show('the server starts once more')
      } catch (error) {
        if (!isRestarting || !isGone(error)) throw error
        if (clock.monotonicMs() > endMs) throw new RestartError(error)
      }
      await clock.sleep(askAgainMs)
    }
  } finally {
    line.clear()
  }
}
