import type { Clock } from '../../base/clock.ts'
import type { CommitRef } from '../../base/file-refs.ts'
import type { ResolvedCommit, ServerCalls } from './server-calls.ts'

const movedMsMax = 1000
const finishedMsMax = 60_000
const commitsKeptMax = 1000

interface Kept {
  readonly commit: Promise<ResolvedCommit>
  /** On the monotonic clock. */
  untilMs: number
}

/** Which commits branches and ids stand for: asked again when that may have changed. */
export class Commits {
  readonly #calls: ServerCalls
  readonly #clock: Clock
  readonly #kept = new Map<string, Kept>()

  constructor(calls: ServerCalls, clock: Clock) {
    this.#calls = calls
    this.#clock = clock
  }

  /** Whether `id` is a name that stands for one commit for ever. */
  static isId(id: string): boolean {
    return /^[0-9a-f]{32}$/.test(id)
  }

  async resolve(ref: CommitRef): Promise<ResolvedCommit> {
    const key = `${ref.repo}/${ref.id}`
    const now = this.#clock.monotonicMs()
    const kept = this.#kept.get(key)
    if (kept !== undefined && kept.untilMs > now) return kept.commit
    const asked: Kept = { commit: this.#calls.resolve(ref), untilMs: now + movedMsMax }
    this.#kept.delete(key)
    this.#kept.set(key, asked)
    const [oldest] = this.#kept.keys()
    if (this.#kept.size > commitsKeptMax && oldest !== undefined) this.#kept.delete(oldest)
    try {
      const commit = await asked.commit
      if (Commits.isId(ref.id) && !commit.isOpen) asked.untilMs = now + finishedMsMax
      return commit
    } catch (error) {
      if (this.#kept.get(key) === asked) this.#kept.delete(key)
      throw error
    }
  }

  /** What was told of this name turned out to be old. */
  forget(ref: CommitRef): void {
    this.#kept.delete(`${ref.repo}/${ref.id}`)
  }
}
