import type { PipelineName } from '../../base/names.ts'
import type { Transaction } from '../../database/database.ts'
import type { Candidate } from './alignment.ts'
import { always, type Arrival, pageMax } from './arrivals.ts'
import type { AgreedRoot, ArrivalsAt } from './fitting-arrivals.ts'
import { forgetAllLacks, forgetLacks, noteLack } from './noted-lacks.ts'

/** Of which it is forgotten in one transaction what they lack: below 100 ms. */
const forgottenMax = 1000

interface Ports {
  readonly tx: Transaction
  readonly pipeline: PipelineName
  /** By position. */
  readonly arrivals: readonly ArrivalsAt[]
  /** Of the commit that has arrived; undefined where that is gone. */
  readonly rootsOf: (arrival: Arrival) => Promise<Candidate['roots'] | undefined>
  /** Those whose commits are there, as far as `isBlocked` does not say that they were not looked at to the end. */
  readonly found: (arrivals: AsyncIterable<Arrival>) => AsyncIterable<Arrival>
  readonly isBlocked: () => boolean
  /** Asked before what came is looked at: false where that is too much for now. */
  readonly mayTry: () => boolean
}

/**
 * Notes of arrivals that an input has nothing for them, so that nobody tries them again until it has:
 * each that waits is tried about once for each that may go with it, and not for each that comes.
 *
 * An arrival lacks a position when all that has come there is made from other commits of a root repo, or
 * lacks something itself, as was noted before. So nothing that lacks a position is in any choice. Once
 * something comes there that goes with it, that is forgotten of it, and of what lacks its position in turn.
 * What is taken away for good makes no difference. What may come back, since its repo is deleted for now, is
 * taken to go with everything, so that what lacks its position does not wait for something that came meanwhile.
 */
export class LackingArrivals {
  readonly #tx: Transaction
  readonly #pipeline: PipelineName
  readonly #arrivals: readonly ArrivalsAt[]
  readonly #rootsOf: Ports['rootsOf']
  readonly #found: Ports['found']
  readonly #isBlocked: Ports['isBlocked']
  readonly #mayTry: Ports['mayTry']
  /** The sequence of something that goes with an arrival, by that and a position. */
  readonly #partners = new Map<string, number>()
  /** The sequences of those of which it was noted here that they lack something. */
  readonly #noted = new Set<number>()

  constructor({ tx, pipeline, arrivals, rootsOf, found, isBlocked, mayTry }: Ports) {
    this.#tx = tx
    this.#pipeline = pipeline
    this.#arrivals = arrivals
    this.#rootsOf = rootsOf
    this.#found = found
    this.#isBlocked = isBlocked
    this.#mayTry = mayTry
  }

  /** Whether `one` lacks a position, among what came there up to a sequence; notes it. */
  async note(one: Arrival & Candidate, at: number, upTo: number): Promise<boolean> {
    const agreed = agreedOf(one)
    // What is made from two roots of a repo goes with nothing, whatever comes: it lacks itself.
    if (agreed === undefined) return await this.#noteThat(one, one.position)
    if (at === one.position || !(await this.#isAlone(one, agreed, at, upTo))) return false
    return await this.#noteThat(one, at)
  }

  async #noteThat(one: Arrival, lacks: number): Promise<true> {
    await noteLack(this.#tx, this.#pipeline, one, lacks)
    this.#noted.add(one.sequence)
    return true
  }

  /** Whether nothing goes with `one` at a position. What was found before is not looked for again. */
  async #isAlone(
    one: Arrival,
    agreed: readonly AgreedRoot[],
    at: number,
    upTo: number,
  ): Promise<boolean> {
    const key = `${one.sequence} ${at}`
    const known = this.#partners.get(key)
    if (known !== undefined && !this.#noted.has(known)) return false
    const others = this.#arrivals[at]
    if (others === undefined || !(await others.isThere()) || !this.#mayTry()) return false
    const { arrivals } = await others.fitting(agreed, { from: -Infinity, below: upTo + 1 })
    for await (const { sequence } of this.#found(arrivals)) {
      this.#partners.set(key, sequence)
      return false
    }
    return !this.#isBlocked()
  }

  /**
   * Forgets it of all that something goes with which has come now; false when so much does that another
   * transaction has to go on with it.
   */
  async onCome(one: Pick<Arrival, 'position'> & Pick<Candidate, 'roots'>): Promise<boolean> {
    let isDone = true
    const waiting = [one]
    const counts = new Map<number, number>()
    const isLacked = new Map<string, boolean>()
    const forgotten = new Set<number>()
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
      const agreed = agreedOf(next)
      if (agreed === undefined) continue
      for (const other of await this.#lacking(next.position, isLacked)) {
        if ((await this.#arrivals[other]?.isThere()) !== true) {
          await forgetAllLacks(this.#tx, this.#pipeline, other, next.position)
          await this.#forgetAll(other, forgotten)
          continue
        }
        const countMax = next === one ? forgottenMax : pageMax
        const found = await this.#forgetFitting(other, agreed, next.position, countMax)
        const isMore = found.length === countMax
        if (isMore && next === one) isDone = false
        // More is forgotten than must be, which costs tries later, and not one by one.
        else if (isMore) await forgetAllLacks(this.#tx, this.#pipeline, other, next.position)
        if (found.length === 0 || (await this.#lacking(other, isLacked)).length === 0) continue
        const count = (counts.get(other) ?? 0) + found.length
        counts.set(other, count)
        if (count >= pageMax) {
          await this.#forgetAll(other, forgotten)
          continue
        }
        for (const { position, ...arrival } of found) {
          const roots = await this.#rootsOf({ position, ...arrival })
          if (roots !== undefined) waiting.push({ position, roots })
          else await this.#forgetAll(position, forgotten)
        }
      }
    }
    return isDone
  }

  async #forgetFitting(
    position: number,
    agreed: readonly AgreedRoot[],
    lacks: number,
    countMax: number,
  ): Promise<readonly Arrival[]> {
    const fitting = await this.#arrivals[position]?.fitting(agreed, always, lacks)
    const found: Arrival[] = []
    for await (const arrival of fitting?.arrivals ?? []) {
      found.push(arrival)
      if (found.length === countMax) break
    }
    await forgetLacks(this.#tx, this.#pipeline, found)
    return found
  }

  async #forgetAll(lacks: number, seen: Set<number>): Promise<void> {
    if (seen.has(lacks)) return
    seen.add(lacks)
    for (const other of await this.#lacking(lacks, new Map())) {
      await forgetAllLacks(this.#tx, this.#pipeline, other, lacks)
      await this.#forgetAll(other, seen)
    }
  }

  /** The positions of arrivals that lack one, or did when that was asked for before. */
  async #lacking(lacks: number, known: Map<string, boolean>): Promise<readonly number[]> {
    const positions: number[] = []
    for (const [position, arrivals] of this.#arrivals.entries()) {
      if (position === lacks) continue
      const key = `${position} ${lacks}`
      const isLacking = known.get(key) ?? (await arrivals.hasAny(always, lacks))
      known.set(key, isLacking)
      if (isLacking) positions.push(position)
    }
    return positions
  }
}

/** Undefined where it is made from two commits of a repo. */
function agreedOf({
  roots,
  position,
}: Pick<Candidate, 'roots'> & Pick<Arrival, 'position'>): readonly AgreedRoot[] | undefined {
  const agreed: AgreedRoot[] = []
  for (const [repo, commits] of roots) {
    const [commit, another] = commits
    if (another !== undefined) return undefined
    if (commit !== undefined) agreed.push({ repo, commit, by: position })
  }
  return agreed
}
