import type { Clock } from '../../base/clock.ts'
import { CancelledError } from '../../base/errors.ts'
import type { DatumOutcome, DatumWork, DatumWorker } from '../../pipelines/datum-worker.ts'
import type { RunResult, Slot, Transform } from '../../pipelines/executor.ts'
import type { Contents } from '../../storage/contents.ts'
import type { FileTrees } from '../../storage/file-trees.ts'
import { DatumFilesError } from './datum-errors.ts'
import { writeInputs } from './input-files.ts'
import { inputVariables } from './input-variables.ts'
import { storeOutput } from './output-tree.ts'
import { Pacer } from './pacer.ts'
import { Stopwatch } from './stopwatch.ts'

export interface SlotWorkerPorts {
  readonly trees: FileTrees
  readonly contents: Contents
  readonly clock: Clock
}

/** Everything around one run of user code: files in, command, files out. */
export class SlotWorker implements DatumWorker {
  readonly #ports: SlotWorkerPorts
  readonly #transform: Transform
  readonly #slot: Slot

  /** Takes over `slot`. */
  constructor(ports: SlotWorkerPorts, transform: Transform, slot: Slot) {
    this.#ports = ports
    this.#transform = transform
    this.#slot = slot
  }

  async process(work: DatumWork): Promise<DatumOutcome> {
    if (work.signal.aborted) throw new CancelledError('the datum was cancelled')
    const watch = new Stopwatch(this.#ports.clock)
    const outcome = await this.#attempt(work, watch).catch((error: unknown): DatumOutcome => {
      if (error instanceof DatumFilesError) {
        return { kind: 'failure', reason: error.message, stats: watch.stats() }
      }
      throw error
    })
    await this.#slot.reset()
    return outcome
  }

  async #attempt(work: DatumWork, watch: Stopwatch): Promise<DatumOutcome> {
    const { members, formerOutput, signal } = work
    const slot = this.#slot
    const ports = { ...this.#ports, pacer: new Pacer(this.#ports.clock, signal) }
    const inputs = await watch.download(() => writeInputs(ports, slot, members, formerOutput))
    const { exitCode } = await this.#run(work, watch)
    if (exitCode !== 0 && !this.#transform.acceptedReturnCodes.includes(exitCode)) {
      return {
        kind: 'failure',
        reason: `user code ended with exit code ${exitCode}`,
        stats: watch.stats(),
      }
    }
    const output = await watch.upload(() =>
      storeOutput(ports, {
        pfsDirectory: slot.pfsDirectory,
        pfsPath: slot.pfsPath,
        members,
        formerOutput,
        writtenAt: inputs.writtenAt,
      }),
    )
    return { kind: 'success', output: output.root, stats: watch.stats() }
  }

  async #run(
    { members, place, onLine, onLeftOut, signal, ...work }: DatumWork,
    watch: Stopwatch,
  ): Promise<RunResult> {
    const { pfsPath } = this.#slot
    const inputs = inputVariables(members, pfsPath, this.#transform.environment)
    const environment = { ...inputs, ...work.environment }
    using held = new DisposableStack()
    held.use(await place())
    return await watch.process(() => this.#slot.run({ environment, onLine, onLeftOut }, signal))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#slot[Symbol.asyncDispose]()
  }
}
