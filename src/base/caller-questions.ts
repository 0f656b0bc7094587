import { NotFoundError } from './errors.ts'
import { newHexId, type Random } from './random.ts'

/** Asks the caller; the parts of the answer come as they are taken. */
export type AskCaller<Question, Part> = (
  question: Question,
  signal: AbortSignal,
) => AsyncIterable<Part>

export type EventOrQuestion<Event, Question> =
  | { readonly kind: 'event'; readonly event: Event }
  | { readonly kind: 'question'; readonly id: string; readonly question: Question }

interface Waiting<Part> {
  readonly parts: PromiseWithResolvers<AsyncIterable<Part>>
  readonly taken: PromiseWithResolvers<void>
}

/**
 * For calls in which a server needs something of whoever calls, and cannot reach: its questions go out with
 * what the call streams, and each answer comes in a call of its own, which says the question's id.
 */
export class CallerQuestions<Question, Part> {
  readonly #random: Random
  readonly #waiting = new Map<string, Waiting<Part>>()

  constructor(random: Random) {
    this.#random = random
  }

  /** The events of `work`, and what it asks meanwhile. It must end when its signal aborts. */
  async *run<Event>(
    work: (ask: AskCaller<Question, Part>) => AsyncIterable<Event>,
  ): AsyncGenerator<EventOrQuestion<Event, Question>> {
    const asked: { readonly id: string; readonly question: Question }[] = []
    let bell = Promise.withResolvers<void>()
    const events = work((question, signal) =>
      this.#ask(signal, (id) => {
        asked.push({ id, question })
        bell.resolve()
      }),
    )[Symbol.asyncIterator]()
    try {
      let next = events.next()
      for (;;) {
        const event = await Promise.race([next, bell.promise])
        bell = Promise.withResolvers<void>()
        for (const question of asked.splice(0)) yield { kind: 'question', ...question }
        if (event === undefined) continue
        if (event.done === true) return
        yield { kind: 'event', event: event.value }
        next = events.next()
      }
    } finally {
      await events.return?.()
    }
  }

  /**
   * Answers a question; resolves when whoever asked has taken what it wants.
   *
   * @throws {NotFoundError} when nobody waits for that.
   */
  async answer(id: string, parts: AsyncIterable<Part>): Promise<void> {
    const waiting = this.#waiting.get(id)
    if (waiting === undefined) {
      throw new NotFoundError('nobody waits for this answer any more: what it was for has ended')
    }
    this.#waiting.delete(id)
    waiting.parts.resolve(parts)
    await waiting.taken.promise
  }

  async *#ask(signal: AbortSignal, send: (id: string) => void): AsyncGenerator<Part> {
    const id = newHexId(this.#random)
    const parts = Promise.withResolvers<AsyncIterable<Part>>()
    const taken = Promise.withResolvers<void>()
    this.#waiting.set(id, { parts, taken })
    try {
      send(id)
      const answer = await unlessAborted(signal, parts.promise)
      const iterator = answer[Symbol.asyncIterator]()
      for (;;) {
        const part = await unlessAborted(signal, iterator.next())
        if (part.done === true) return
        yield part.value
      }
    } finally {
      this.#waiting.delete(id)
      taken.resolve()
    }
  }
}

/** Rejects when the signal aborts before. A promise of its own each time: one that stays would keep every part. */
async function unlessAborted<Value>(signal: AbortSignal, value: Promise<Value>): Promise<Value> {
  const { promise: aborted, reject } = Promise.withResolvers<never>()
  const stop = (): void => {
    reject(signal.reason instanceof Error ? signal.reason : new Error('aborted'))
  }
  if (signal.aborted) stop()
  else signal.addEventListener('abort', stop, { once: true })
  try {
    return await Promise.race([value, aborted])
  } finally {
    signal.removeEventListener('abort', stop)
  }
}
