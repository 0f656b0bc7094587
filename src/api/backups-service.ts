import { parseSnapshotName } from '../backups/format.ts'
import type { LostObject } from '../backups/restoring.ts'
import type { StoreBackups } from '../backups/store-backups.ts'
import type { Random } from '../base/random.ts'
import { Backups } from '../gen/pachyderm_pb.ts'
import { choiceMessage, placeOf, scopeOf, verifyMessage } from './backups/backup-messages.ts'
import { extractedMessages, knownOf, takenMessages } from './backups/extracted-messages.ts'
import { objectsOf } from './backups/restored-objects.ts'
import { service, type Route } from './grpc/service.ts'
import { type RepoRestores, repoRestoreHandlers } from './repo-restores.ts'

const keysAtOnce = 1000

/** pachyderm.Backups. */
export function backupsRoutes(
  backups: StoreBackups,
  { repoRestores, random }: { readonly repoRestores: RepoRestores; readonly random: Random },
): readonly Route[] {
  return service(Backups, {
    async *extract(request, { signal }) {
      const options = { scope: scopeOf(request.scope), skipsDamaged: request.skipDamaged, signal }
      if (request.place !== undefined) {
        const { repair: repairs } = request
        yield* takenMessages(backups, placeOf(request.place), { ...options, repairs })
        return
      }
      await backups.requireForeign(request.backupId)
      const known = knownOf(request)
      for await (const event of backups.extract({ ...options, known })) {
        yield* extractedMessages(event)
      }
    },

    async *verifyBackup({ place, snapshot, list: listsOnly }, { signal }) {
      for await (const event of backups.verify(placeOf(place), snapshot, { listsOnly, signal })) {
        yield verifyMessage(event)
      }
    },

    async *beginRestore({ snapshot, data: bytes, skipDamaged: skipsDamaged }) {
      const name = parseSnapshotName(snapshot)
      const missing = await backups.beginRestore({ name, bytes, skipsDamaged })
      const { keys, sizeBytes, totalCount } = missing
      const counts = { missingBytes: BigInt(sizeBytes), objectsTotal: BigInt(totalCount) }
      for (let at = 0; at === 0 || at < keys.length; at += keysAtOnce) {
        yield { ...counts, missing: keys.slice(at, at + keysAtOnce) }
      }
    },

    async putRestored(requests) {
      const lost: LostObject[] = []
      for await (const { key, bytes } of objectsOf(requests)) {
        const damaged = await backups.putRestored(key, bytes)
        if (damaged !== undefined) lost.push(damaged)
      }
      return { lost }
    },

    async finishRestore({ snapshot }) {
      return { restarting: await backups.finishRestore(snapshot) }
    },

    async *restore({ place, snapshot, skipDamaged: skipsDamaged }, { signal }) {
      const wish = { snapshot, skipsDamaged }
      for await (const counts of backups.restore(placeOf(place), wish, signal)) {
        yield {
          snapshot: counts.snapshot,
          objectsDone: BigInt(counts.objectsDone),
          objectsTotal: BigInt(counts.objectsTotal),
          bytesRead: BigInt(counts.bytesRead),
          lost: [...counts.lost],
          ...(counts.choice !== undefined && { choice: choiceMessage(counts.choice) }),
        }
      }
    },

    ...repoRestoreHandlers(repoRestores, random),
  })
}
