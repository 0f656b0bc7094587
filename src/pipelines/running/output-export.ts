import type { Clock } from '../../base/clock.ts'
import { DomainError } from '../../base/errors.ts'
import { shownSource } from '../../base/source-urls.ts'
import type { Pauses } from '../../base/retries.ts'
import type { Lease } from '../../storage/leases.ts'
import type { CommitTree } from '../../versioning/commit-records.ts'
import { beginExport } from '../exported-outputs.ts'
import { noteReason } from '../job-records.ts'
import type { ExportProgress } from '../output-exports.ts'
import type { Patience, RunPorts } from './run-ports.ts'
import type { JobPlan } from './plan.ts'
import { errorText, isPassing } from './run-errors.ts'

const pauses: Pauses = { pauseMs: 500, pauseMsMax: 60_000 }
/** After so many failures in a row, none of which wrote a file, the export is given up: half an hour. */
const failureCountMax = 20
/** The job says at most this often how far its export is. */
const noteEveryMs = 2000

interface ExportedOutput {
  readonly url: string
  readonly tree: CommitTree
  /** Holds the tree, and what it is compared with. */
  readonly lease: Lease
}

/**
 * Exports what will be the job's output commit, as often as it takes, and says in the job how far it
 * is. Gives why it is hopeless; undefined when every file is there. Of the files that are not known to be
 * there from the last export, the store alone knows which are, and is asked: so it goes on after a restart.
 *
 * @throws {CancelledError} when `signal` aborts.
 */
export async function exportOutput(
  ports: RunPorts,
  plan: JobPlan,
  { url, tree, lease }: ExportedOutput,
  { signal, pause }: Patience,
): Promise<string | undefined> {
  const { job } = plan
  const target = shownSource(url)
  let last: { readonly text: string; readonly count: number } | undefined
  for (;;) {
    const suffix = last === undefined ? '' : `; ${last.text} (retrying)`
    const files = tree.fileCount === 1 ? '1 file' : `${tree.fileCount} files`
    const note = async (text: string): Promise<void> =>
      await ports.database.transact((tx) => noteReason(tx, job, text))
    const notes = new Notes(ports.clock, async ({ fileCount }) => {
      await note(`exporting to ${target}: ${fileCount} of ${files} there${suffix}`)
    })
    let hasWritten = false
    try {
      await note(`exporting to ${target}${suffix}`)
      const { egressSecret } = plan.spec
      const credentials =
        egressSecret === undefined ? undefined : await ports.secrets.texts(egressSecret)
      await ports.exports.exportTree(
        {
          commit: job.outputCommit,
          tree,
          url,
          ...(credentials !== undefined && { credentials }),
          begin: (reached) =>
            lease.acquire(async () => {
              const known = { tree, ...reached }
              const base = await ports.database.transact((tx) => beginExport(tx, job, known))
              if (base !== undefined) lease.hold({ kind: 'tree', root: base.root })
              return base
            }),
        },
        {
          signal,
          onProgress(progress) {
            hasWritten ||= progress.fileCount > progress.sameFileCount
            notes.tell(progress)
          },
        },
      )
      await notes.settle()
      return undefined
    } catch (error) {
      await notes.abandon()
      signal.throwIfAborted()
      const count = hasWritten || last === undefined ? 1 : last.count + 1
      last = { text: errorText(error), count }
      const isHopeless = !isPassing(error)
      if (!(error instanceof DomainError)) {
        ports.log.error(`the export of job ${job.id} of pipeline ${job.pipeline}`, error)
      }
      if (isHopeless || count >= failureCountMax) {
        const tries = isHopeless ? '' : ` (tried ${count} times)`
        return `the output could not be exported to ${target}: ${last.text}${tries}`
      }
      await note(`exporting to ${target}: ${last.text} (retrying)`)
      await pause(pauses, count)
    }
  }
}

/** Passes on how far an export is, one note at a time and not too often. */
class Notes {
  readonly #clock: Clock
  readonly #write: (progress: ExportProgress) => Promise<void>
  #writing: Promise<void> = Promise.resolve()
  #isWriting = false
  #lastMs = -noteEveryMs

  constructor(clock: Clock, write: (progress: ExportProgress) => Promise<void>) {
    this.#clock = clock
    this.#write = write
  }

  tell(progress: ExportProgress): void {
    const nowMs = this.#clock.monotonicMs()
    if (this.#isWriting || nowMs - this.#lastMs < noteEveryMs) return
    this.#lastMs = nowMs
    this.#isWriting = true
    this.#writing = this.#write(progress).finally(() => {
      this.#isWriting = false
    })
    // Whoever waits at the end is told; until then it is nobody's.
    this.#writing.catch(() => undefined)
  }

  /** Waits for what is being written, so that nothing comes later. */
  async settle(): Promise<void> {
    await this.#writing
  }

  /** As `settle`, when another error is on its way already. */
  async abandon(): Promise<void> {
    await this.#writing.catch(() => undefined)
  }
}
