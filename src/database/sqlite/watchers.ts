import type { DatabaseEvent, ReadTransaction, SqlValue } from '../database.ts'
import { WatchExpiredError } from '../database.ts'
import type { Notice } from './writer.ts'

/** Events that one query hands to one watcher. */
const pageEventsMax = 256

interface Waiting {
  readonly topics: readonly string[]
  /** All of the log up to here concerns the watcher no more. */
  position: number
  readonly wake: () => void
}

/** A page of the log for one watcher. */
interface Page {
  readonly events: readonly DatabaseEvent[]
  /** The last event of any topic in the snapshot, or 0. */
  readonly last: number
}

/** Everyone who follows the event log: they read it from the table, and are woken by notices. */
export class Watchers {
  readonly #read: <Result>(operation: (tx: ReadTransaction) => Promise<Result>) => Promise<Result>
  readonly #waiting = new Set<Waiting>()
  #published: number
  #refusal: Error | undefined

  /** `published` is the last event in the log, or 0; `read` answers with what is durable only. */
  constructor(
    read: <Result>(operation: (tx: ReadTransaction) => Promise<Result>) => Promise<Result>,
    published: number,
  ) {
    this.#read = read
    this.#published = published
  }

  publish(notice: Notice): void {
    this.#published = Math.max(this.#published, notice.lastSequence)
    for (const waiting of this.#waiting) {
      if (waiting.topics.some((topic) => notice.topics.has(topic))) waiting.wake()
      else waiting.position = this.#published
    }
  }

  /** Ends every watch with `refusal`. */
  close(refusal: Error): void {
    this.#refusal ??= refusal
    for (const waiting of this.#waiting) waiting.wake()
  }

  watch(
    topics: readonly string[],
    options: { readonly after?: number; readonly signal: AbortSignal },
  ): AsyncIterable<DatabaseEvent> {
    return this.#follow([...new Set(topics)], options.after ?? this.#published, options.signal)
  }

  async *#follow(
    topics: readonly string[],
    after: number,
    signal: AbortSignal,
  ): AsyncGenerator<DatabaseEvent, void, undefined> {
    let position = after
    while (!signal.aborted) {
      if (this.#refusal !== undefined) throw this.#refusal
      // Taken before the read: a notice that comes while it runs must not be missed.
      const published = this.#published
      const page = await this.#read(async (tx) => await readPage(tx, topics, position))
      for (const event of page.events) {
        if (signal.aborted) return
        position = event.sequence
        yield event
      }
      if (page.events.length === pageEventsMax) continue
      position = Math.max(position, page.last)
      if (this.#published === published) position = await this.#wait(topics, position, signal)
    }
  }

  /**
   * Until a notice for one of `topics`, the end of the watch, or the end of the database. Returns the
   * position moved past what was of other topics, so that a quiet watcher never falls behind the log.
   */
  async #wait(topics: readonly string[], position: number, signal: AbortSignal): Promise<number> {
    if (signal.aborted || this.#refusal !== undefined) return position
    return await new Promise<number>((resolve) => {
      const waiting: Waiting = {
        topics,
        position,
        wake: () => {
          this.#waiting.delete(waiting)
          signal.removeEventListener('abort', waiting.wake)
          resolve(waiting.position)
        },
      }
      this.#waiting.add(waiting)
      signal.addEventListener('abort', waiting.wake, { once: true })
    })
  }
}

async function readPage(
  tx: ReadTransaction,
  topics: readonly string[],
  position: number,
): Promise<Page> {
  const ends = await tx.get<{ readonly first: number | null; readonly last: number | null }>(
    `SELECT (SELECT min(sequence) FROM database_events) AS first,
            (SELECT max(sequence) FROM database_events) AS last`,
  )
  const first = ends?.first ?? 1
  const last = ends?.last ?? 0
  if (position < first - 1 || position > last)
    throw new WatchExpiredError(position, { first, last })
  if (position === last || topics.length === 0) return { events: [], last }
  const parameters: SqlValue[] = [position, ...topics, pageEventsMax]
  const events = await tx.all<{
    readonly sequence: number
    readonly topic: string
    readonly subject: string
  }>(
    `SELECT sequence, topic, subject FROM database_events
     WHERE sequence > ? AND topic IN (${topics.map(() => '?').join(', ')})
     ORDER BY sequence LIMIT ?`,
    ...parameters,
  )
  return { events, last }
}
