import type { StoreBackups } from '../backups/store-backups.ts'
import type { Random } from '../base/random.ts'
import { Backups } from '../gen/pachyderm_pb.ts'
import { placeOf, scopeOf, verifyMessage } from './backups/backup-messages.ts'
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
        yield* takenMessages(backups, placeOf(request.place), options)
        return
      }
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

    async *beginRestore({ snapshot, data }) {
      const { keys, sizeBytes, totalCount } = await backups.beginRestore(snapshot, data)
      const counts = { missingBytes: BigInt(sizeBytes), objectsTotal: BigInt(totalCount) }
      for (let at = 0; at === 0 || at < keys.length; at += keysAtOnce) {
        yield { ...counts, missing: keys.slice(at, at + keysAtOnce) }
      }
    },

    async putRestored(requests) {
      for await (const { key, bytes } of objectsOf(requests)) await backups.putRestored(key, bytes)
      return {}
    },

    async finishRestore({ snapshot }) {
      return { restarting: await backups.finishRestore(snapshot) }
    },

    async *restore({ place, snapshot }, { signal }) {
      for await (const counts of backups.restore(placeOf(place), snapshot, signal)) {
        yield {
          snapshot: counts.snapshot,
          objectsDone: BigInt(counts.objectsDone),
          objectsTotal: BigInt(counts.objectsTotal),
          bytesRead: BigInt(counts.bytesRead),
        }
      }
    },

    ...repoRestoreHandlers(repoRestores, random),
  })
}
