import type { Clock } from '../base/clock.ts'
import type { DatumWorker, DatumWorkers } from '../pipelines/datum-worker.ts'
import type { Executor, Slot, SlotSecrets, Transform } from '../pipelines/executor.ts'
import type { Contents } from '../storage/contents.ts'
import type { FileTrees } from '../storage/file-trees.ts'
import { SlotWorker } from './slots/slot-worker.ts'

export interface SlotWorkersPorts {
  readonly executor: Executor
  readonly trees: FileTrees
  readonly contents: Contents
  readonly clock: Clock
}

/** Workers in this process, each around one slot of an executor. */
export class SlotWorkers implements DatumWorkers {
  readonly #ports: SlotWorkersPorts

  constructor(ports: SlotWorkersPorts) {
    this.#ports = ports
  }

  notices(transform: Transform): readonly string[] {
    return this.#ports.executor.notices(transform)
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
