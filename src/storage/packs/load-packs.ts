import type { Database } from '../../database/database.ts'
import type { SealedPacks } from './sealed-packs.ts'
import { packsAfter } from './stored-packs.ts'

/** Adds all packs that are listed and not known yet. */
export async function loadPacks(database: Database, sealed: SealedPacks): Promise<void> {
  for (let after = ''; ;) {
    const { forgetCount } = sealed
    const page = await packsAfter(database, after)
    // What was forgotten while the page was read must not come back.
    if (forgetCount !== sealed.forgetCount) continue
    for (const { pack, fingerprints } of page) sealed.add(pack, fingerprints)
    const last = page.at(-1)
    if (last === undefined) return
    after = last.pack.name
  }
}
