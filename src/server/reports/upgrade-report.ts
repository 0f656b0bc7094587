import type { StoreUpgrade } from '../../database/database.ts'
import type { Log } from '../log.ts'

/** Tells of an upgrade, and where what there was before is. */
export function upgradeReport(log: Log): (upgrade: StoreUpgrade) => void {
  return ({ copy, layers }) => {
    const steps = layers.map(({ layer, from, to }) => `${layer} ${from} to ${to}`).join(', ')
    log.info(
      'brought the metadata of an older release up to date; to go back to it, stop the server, and pachctl migrate --root DIR --undo puts the copy in their place',
      { copy, steps },
    )
  }
}
