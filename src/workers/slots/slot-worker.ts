import type { Clock } from '../../base/clock.ts'
import { CancelledError } from '../../base/errors.ts'
import type { DatumOutcome, DatumWork, DatumWorker } from '../../pipelines/datum-worker.ts'
import {
  type PlacedInputs,
  type RunResult,
  type Slot,
  SlotBoundError,
  StillWrittenError,
  type Transform,
  WarmCommandError,
} from '../../pipelines/executor.ts'
import type { Contents } from '../../storage/contents.ts'
import type { FileTrees } from '../../storage/file-trees.ts'
import { DatumFilesError } from './datum-errors.ts'
import { workFilesError } from './disk-errors.ts'
import type { InputCache } from './input-cache.ts'
import { writeInputs } from './input-files.ts'
import { inputVariables } from './input-variables.ts'
import { feedWhile } from './lazy-files.ts'
import type { LazyReaders } from './lazy-readers.ts'
import { storeOutput } from './output-tree.ts'
import { Pacer } from './pacer.ts'
import { Stopwatch } from './stopwatch.ts'

export interface SlotWorkerPorts {
  readonly trees: FileTrees
  readonly contents: Contents
  readonly clock: Clock
  readonly lazyReaders: LazyReaders
  /** Where large inputs are kept for slots that cannot change them. */
  readonly inputCache?: InputCache | undefined
  /** What the files of a datum's output may be long together; unset: as much as their disk has in all. */
  readonly outputBytesMax?: number | undefined
}

interface OpenedSlot {
  readonly open: (signal: AbortSignal) => Promise<Slot>
  readonly slot: Slot
}

interface Attempted {
  readonly outcome: DatumOutcome
  readonly placed?: PlacedInputs | undefined
}

/** Everything around one run of user code: files in, command, files out. */
export class SlotWorker implements DatumWorker {
  readonly #ports: SlotWorkerPorts
  readonly #transform: Transform
  readonly #open: OpenedSlot['open']
  /** Undefined after a datum that had to be ended: the next one gets another. */
  #slot: Slot | undefined

  /** Takes over the slot. */
  constructor(ports: SlotWorkerPorts, transform: Transform, { open, slot }: OpenedSlot) {
    this.#ports = ports
    this.#transform = transform
    this.#open = open
    this.#slot = slot
  }

  async process(work: DatumWork): Promise<DatumOutcome> {
    if (work.signal.aborted) throw new CancelledError('the datum was cancelled')
    const watch = new Stopwatch(this.#ports.clock)
    const slot = (this.#slot ??= await this.#open(work.signal))
    try {
      const { outcome, placed } = await this.#attempt(slot, work, watch).catch(
        (error: unknown): Attempted => {
          if (error instanceof DatumFilesError) {
            return { outcome: { kind: 'failure', reason: error.message, stats: watch.stats() } }
          }
          throw error
        },
      )
      await slot.reset(placed)
      return outcome
    } catch (error) {
      if (!isOfUserCode(error)) throw workFilesError(error, slot.pfsDirectory)
      this.#slot = undefined
      await slot[Symbol.asyncDispose]()
      return { kind: 'failure', reason: error.message, stats: watch.stats() }
    }
  }

  async #attempt(slot: Slot, work: DatumWork, watch: Stopwatch): Promise<Attempted> {
    const { members, formerOutput, signal } = work
    const ports = { ...this.#ports, pacer: new Pacer(this.#ports.clock, signal) }
    const inputs = await watch.download(() => writeInputs(ports, slot, members, formerOutput))
    const run = (): Promise<RunResult> => this.#run(slot, work, watch)
    const { result, bytes } = await feedWhile(this.#ports, slot, inputs.lazyFiles, run)
    watch.downloaded(bytes)
    const { placed } = inputs
    const { exitCode, bound } = result
    if (exitCode !== 0 && !this.#transform.acceptedReturnCodes.includes(exitCode)) {
      const how = `user code ended with exit code ${exitCode}`
      const reason = bound === undefined ? how : `${how}: ${bound}`
      return { outcome: { kind: 'failure', reason, stats: watch.stats() }, placed }
    }
    work.onStoring?.()
    const output = await watch.upload(() =>
      storeOutput(ports, {
        pfsDirectory: slot.pfsDirectory,
        pfsPath: slot.pfsPath,
        isInputReadOnly: slot.isInputReadOnly,
        members,
        formerOutput,
        writtenAt: inputs.writtenAt,
        isEmpty: formerOutput === undefined && !slot.mayHaveOutput,
      }),
    )
    return { outcome: { kind: 'success', output: output.root, stats: watch.stats() }, placed }
  }

  async #run(
    slot: Slot,
    { members, place, onLine, onLeftOut, onWarming, signal, environment: given }: DatumWork,
    watch: Stopwatch,
  ): Promise<RunResult> {
    const { pfsPath } = slot
    const inputs = inputVariables(members, pfsPath, this.#transform.environment)
    const environment = { ...inputs, ...given }
    // While others run.
    slot.prepare(environment)
    using held = new DisposableStack()
    held.use(await place())
    const run = { environment, onLine, onLeftOut, ...(onWarming !== undefined && { onWarming }) }
    return await watch.process(() => slot.run(run, signal))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#slot?.[Symbol.asyncDispose]()
  }
}

/** The datum fails by it, and takes its slot along. */
function isOfUserCode(
  error: unknown,
): error is SlotBoundError | WarmCommandError | StillWrittenError {
  return [SlotBoundError, WarmCommandError, StillWrittenError].some((kind) => error instanceof kind)
}
