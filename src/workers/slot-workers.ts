import type { Clock } from '../base/clock.ts'
import type { DatumWorker, DatumWorkers } from '../pipelines/datum-worker.ts'
import type { Executor, OnWait, Slot, SlotSecrets, Transform } from '../pipelines/executor.ts'
import type { Contents } from '../storage/contents.ts'
import type { FileTrees } from '../storage/file-trees.ts'
import { workFilesError } from './slots/disk-errors.ts'
import { InputCache, type InputCacheOptions } from './slots/input-cache.ts'
import { LazyReaders } from './slots/lazy-readers.ts'
import { SlotWorker, type SlotWorkerPorts } from './slots/slot-worker.ts'

export interface SlotWorkersPorts {
  readonly executor: Executor
  readonly trees: FileTrees
  readonly contents: Contents
  readonly clock: Clock
  /** Where large inputs are kept for slots that cannot change them; none unless given. */
  readonly inputCache?: InputCacheOptions
  /** What the files of a datum's output may be long together; unset: as much as their disk has in all. */
  readonly outputBytesMax?: number | undefined
}

/** Workers in this process, each around one slot of an executor. */
export class SlotWorkers implements DatumWorkers {
  readonly #ports: SlotWorkerPorts & Pick<SlotWorkersPorts, 'executor'>

  constructor(ports: SlotWorkersPorts) {
    const { inputCache, ...others } = ports
    this.#ports = {
      ...others,
      lazyReaders: new LazyReaders(),
      inputCache: inputCache && new InputCache(inputCache),
    }
  }

  async look(): Promise<void> {
    await this.#ports.executor.look()
  }

  notices(transform: Transform): readonly string[] {
    return this.#ports.executor.notices(transform)
  }

  placeOf(transform: Transform): string {
    return this.#ports.executor.placeOf(transform)
  }

  async open(
    transform: Transform,
    signal: AbortSignal,
    secrets?: SlotSecrets,
    onWait?: OnWait,
  ): Promise<DatumWorker> {
    const { executor, inputCache } = this.#ports
    const open = async (until: AbortSignal, onWaiting?: OnWait): Promise<Slot> => {
      try {
        return await executor.openSlot(transform, until, secrets, onWaiting)
      } catch (error) {
        // The cache is on the disk on which slots are.
        throw workFilesError(error, inputCache?.directory ?? process.cwd())
      }
    }
    return new SlotWorker(this.#ports, transform, { open, slot: await open(signal, onWait) })
  }
}
