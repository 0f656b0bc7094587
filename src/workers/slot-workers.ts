import type { Clock } from '../base/clock.ts'
import type { DatumWorker, DatumWorkers } from '../pipelines/datum-worker.ts'
import type { Executor, Slot, SlotSecrets, Transform } from '../pipelines/executor.ts'
import type { Contents } from '../storage/contents.ts'
import type { FileTrees } from '../storage/file-trees.ts'
import { InputCache, type InputCacheOptions } from './slots/input-cache.ts'
import { SlotWorker, type SlotWorkerPorts } from './slots/slot-worker.ts'

export interface SlotWorkersPorts {
  readonly executor: Executor
  readonly trees: FileTrees
  readonly contents: Contents
  readonly clock: Clock
  /** Where large inputs are kept for slots that cannot change them; none unless given. */
  readonly inputCache?: InputCacheOptions
}

/** Workers in this process, each around one slot of an executor. */
export class SlotWorkers implements DatumWorkers {
  readonly #ports: SlotWorkerPorts & Pick<SlotWorkersPorts, 'executor'>

  constructor(ports: SlotWorkersPorts) {
    const { inputCache, ...others } = ports
    this.#ports = { ...others, inputCache: inputCache && new InputCache(inputCache) }
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
  ): Promise<DatumWorker> {
    const open = (until: AbortSignal): Promise<Slot> =>
      this.#ports.executor.openSlot(transform, until, secrets)
    return new SlotWorker(this.#ports, transform, { open, slot: await open(signal) })
  }
}
