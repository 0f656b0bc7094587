import type { Clock } from '../base/clock.ts'
import { CancelledError, DataLossError, NotFoundError } from '../base/errors.ts'
import { Turns } from '../base/turns.ts'
import { damageOfPack } from '../storage/pack-bytes.ts'
import type { Backup } from './backup.ts'

/** To be called between steps: others get their turn, and it is asked whether to go on. */
export type Pause = () => Promise<void> | undefined

/** @throws {CancelledError} from a pause, saying that `what` was cancelled. */
export function pauses(clock: Clock, signal: AbortSignal, what: string): Pause {
  // oxlint-disable-next-line no-restricted-globals -- a turn, not a time: no clock could say it.
  const turns = new Turns(clock, setImmediate)
  return () => {
    if (signal.aborted) throw new CancelledError(`${what} was cancelled`)
    return turns.next()
  }
}

/** What is wrong with one of a backup's packs, of which every byte is read; undefined when it is whole. */
export async function damageOfObject(
  backup: Backup,
  key: string,
  pause: Pause,
): Promise<string | undefined> {
  try {
    const damage = await damageOfPack(key.slice(-64), await backup.read(key), pause)
    return damage.length === 0 ? undefined : damage.join('; ')
  } catch (error) {
    if (error instanceof DataLossError || error instanceof NotFoundError) return error.message
    throw error
  }
}

/** Those of the packs that are damaged or missing. */
export async function damagedAmong(
  backup: Backup,
  keys: Iterable<string>,
  { pause, onRead }: { readonly pause: Pause; readonly onRead?: (count: number) => void },
): Promise<readonly string[]> {
  const damaged: string[] = []
  let count = 0
  for (const key of keys) {
    await pause()
    if ((await damageOfObject(backup, key, pause)) !== undefined) damaged.push(key)
    count += 1
    onRead?.(count)
  }
  return damaged
}
