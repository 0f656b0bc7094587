import { stat } from 'node:fs/promises'
import { waitAtMost } from '../../base/clock.ts'
import { DomainError } from '../../base/errors.ts'
import { startBackgroundTask } from '../background-task.ts'
import type { ServerPorts } from '../ports.ts'
import { metadataCopyMinutesDefault, type ServerConfig } from '../server-config.ts'
import type { Stores } from '../stores.ts'

const msPerMinute = 60_000
/** After a start, so that a server that does not run for long has a copy, too; unless there is a young one. */
const firstCopyMs = msPerMinute
/** What a copy that has come too late may take to see that. */
const giveUpMs = 1000

/**
 * Keeps copies of the metadata beside the packs, so that a store can be put together from its objects alone:
 * now and then, and once more at a stop that leaves time for it. One is made when something has changed since
 * the last.
 */
export class MetadataCopying implements AsyncDisposable {
  readonly #stores: Stores
  readonly #ports: ServerPorts
  readonly #task: AsyncDisposable
  /** As the metadata were when they were copied last, or when this began. */
  #last: string
  #isFirst = true
  #lastCopyMs = 0

  private constructor(
    stores: Stores,
    everyMs: number,
    { ports, last }: { readonly ports: ServerPorts; readonly last: string },
  ) {
    this.#stores = stores
    this.#ports = ports
    this.#last = last
    const copyAgain = (signal: AbortSignal): Promise<void> => this.#copyAgain(everyMs, signal)
    this.#task = startBackgroundTask('copying the metadata', ports.log, copyAgain)
  }

  /** Undefined where no copies are to be kept. */
  static async start(
    stores: Stores,
    { metadataCopyMinutes = metadataCopyMinutesDefault }: Pick<ServerConfig, 'metadataCopyMinutes'>,
    ports: ServerPorts,
  ): Promise<MetadataCopying | undefined> {
    if (metadataCopyMinutes === 0) return undefined
    const last = await stateOf(stores)
    return new MetadataCopying(stores, metadataCopyMinutes * msPerMinute, { ports, last })
  }

  /** Has disposing make a last copy, which takes so long at most. */
  copyAtEnd(boundMs: number): void {
    this.#lastCopyMs = boundMs
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#task[Symbol.asyncDispose]()
    if (this.#lastCopyMs > 0) await this.#copyLast(this.#lastCopyMs)
  }

  async #copyAgain(everyMs: number, signal: AbortSignal): Promise<void> {
    const { clock, log, random } = this.#ports
    await clock.sleep(Math.min(firstCopyMs, everyMs), signal)
    for (;;) {
      try {
        const { metadataCopies, msUntilDue } = await import('./metadata-copies.ts')
        if (this.#isFirst) {
          const backup = await metadataCopies(this.#stores.objects, random)
          await clock.sleep(await msUntilDue(backup, everyMs, clock), signal)
        }
        // What an earlier process has changed may be in no copy.
        if (this.#isFirst || (await stateOf(this.#stores)) !== this.#last) await this.#copy(signal)
      } catch (error) {
        if (signal.aborted || !(error instanceof DomainError)) throw error
        log.error('the metadata were not copied', error)
      }
      await clock.sleep(everyMs, signal)
    }
  }

  /** Never throws. What is on its way when the time is up is left behind: it ends when the stores are closed. */
  async #copyLast(boundMs: number): Promise<void> {
    const { clock, log } = this.#ports
    if ((await stateOf(this.#stores)) === this.#last) return
    log.info('copying the metadata before the end', { boundMs })
    const startedMs = clock.monotonicMs()
    const stop = new AbortController()
    const facts = (): { readonly tookMs: number } => ({
      tookMs: Math.round(clock.monotonicMs() - startedMs),
    })
    const copied = this.#copy(stop.signal)
      .then(() => this.#stores.uploaded())
      .then(
        () => log.info('copied the metadata', facts()),
        (error: unknown) => {
          const why = stop.signal.aborted ? 'the time was up' : messageOf(error)
          log.warning(lateText, { ...facts(), error: why })
        },
      )
    await waitAtMost(clock, Math.max(0, boundMs - giveUpMs), copied)
    stop.abort()
    await waitAtMost(clock, giveUpMs, copied)
  }

  async #copy(signal: AbortSignal): Promise<void> {
    const { random } = this.#ports
    const { copyMetadata, metadataCopies } = await import('./metadata-copies.ts')
    const { extractedStore } = await import('./backups.ts')
    const backup = await metadataCopies(this.#stores.objects, random)
    const state = await stateOf(this.#stores)
    await copyMetadata(extractedStore(this.#stores, this.#ports), backup, signal)
    this.#last = state
    this.#isFirst = false
  }
}

const lateText =
  'the last copy of the metadata is not complete: what has changed since the one before is in the data directory alone'

/** Another text once something has changed. */
async function stateOf({
  directory: { metadata },
}: {
  readonly directory: { readonly metadata: string }
}): Promise<string> {
  const times = await Promise.all(
    ['', '-wal'].map(async (suffix) => {
      const found = await stat(`${metadata}${suffix}`).catch(() => undefined)
      return found?.mtimeMs ?? 'none'
    }),
  )
  return times.join(' ')
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
