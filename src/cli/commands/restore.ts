import { Backup } from '../../backups/backup.ts'
import { snapshotKey } from '../../backups/format.ts'
import { readForRestore } from '../../backups/store-backups.ts'
import { RestartError, isGone } from '../backing-up/server-restart.ts'
import { SystemRandom } from '../../base/random.ts'
import { openToRead, placeMessage, secretOf, wantedPlace } from '../backing-up/places.ts'
import type { CommandContext } from '../command.ts'
import { UsageError } from '../errors.ts'
import { backupsClient } from '../own-clients.ts'
import { sizeText } from '../../base/sizes.ts'
import { StatusLine } from '../printing/status-line.ts'
import { restoreRepos } from './restore-repos.ts'

const dataBytes = 1024 * 1024
/** How long a server may take to start once more; it brings metadata up to date before. */
const restartMsMax = 300_000
const askAgainMs = 200

/** Restores a backup into an empty server, which starts once more at the end; or repos of it. */
export async function restore(context: CommandContext): Promise<void> {
  const { flags } = context
  if (flags.list('repo').length > 0) {
    await restoreRepos(context)
    return
  }
  if (flags.isOn('with-provenance') || flags.isOn('dry-run')) {
    throw new UsageError('--with-provenance and --dry-run go with --repo')
  }
  const wanted = wantedPlace(context)
  const secret = await secretOf(context)
  const wish = flags.text('snapshot')
  let snapshot: string
  if (wanted.kind === 'url') {
    snapshot = await byServer(context, placeMessage(wanted.url, secret), wish)
  } else {
    await using place = await openToRead(wanted, context)
    const backup = await Backup.open(place, { secret, random: new SystemRandom() })
    snapshot = await fromHere(context, backup, wish)
  }
  await finish(context, snapshot)
  await context.out.line(`restored snapshot ${snapshot}; pachctl fsck looks through it`)
}

async function byServer(
  context: CommandContext,
  place: ReturnType<typeof placeMessage>,
  wish: string,
): Promise<string> {
  const line = new StatusLine(context)
  let name = ''
  try {
    for await (const progress of backupsClient(context).restore({ place, snapshot: wish })) {
      const { snapshot, objectsDone, objectsTotal, bytesRead } = progress
      name = snapshot
      line.show(`${objectsDone} of ${objectsTotal} objects, ${sizeText(Number(bytesRead))} read`)
    }
    return name
  } finally {
    line.clear()
  }
}

async function fromHere(context: CommandContext, backup: Backup, wish: string): Promise<string> {
  const client = backupsClient(context)
  const name = await backup.find(wish)
  const data = await backup.read(snapshotKey(name))
  const missing: string[] = []
  let objectsTotal = 0
  for await (const response of client.beginRestore({ snapshot: name, data })) {
    missing.push(...response.missing)
    objectsTotal = Number(response.objectsTotal)
  }
  const line = new StatusLine(context)
  async function* requests() {
    let done = objectsTotal - missing.length
    let sent = 0
    for (const key of missing) {
      const bytes = await readForRestore(backup, key)
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
    if (missing.length > 0) await client.putRestored(requests())
    return name
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
