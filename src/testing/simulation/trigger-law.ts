import type { Instant } from '../../base/clock.ts'
import type { Connection } from '../../database/sqlite/connection.ts'
import type { ClockGaps } from './clock-gaps.ts'
import { ticksBetween } from './schedule-model.ts'

interface Conditions {
  readonly source: string
  readonly size_bytes: number
  readonly commit_count: number
  readonly schedule: string
  readonly is_all: number
}

type TriggerRow = Conditions & {
  readonly repo: string
  readonly branch: string
  /** When it was set, in a row that is new. */
  readonly last_tick: Instant
}

interface Head {
  readonly id: string
  readonly isFinished: boolean
}

interface Trigger {
  readonly repo: string
  readonly branch: string
  readonly conditions: Conditions
  /** When its clock was set. */
  setAt: Instant
  /** When it moved the branch last. */
  firedAt: Instant
  /** When the branch was moved last by anybody, or what it follows was. */
  changedAt: Instant
}

/** A look that the trigger has had at what its branch lacks of the other, and what came of it. */
interface Judgement {
  readonly trigger: Trigger
  /** Commits that the other branch has and this one had not, before what was done. */
  readonly added: readonly string[]
  readonly hasMoved: boolean
  readonly hasTicked: boolean
  readonly what: string
}

/** The bytes of the files that a commit has added or changed; undefined when they are not known. */
type BytesOf = (commit: string) => number | undefined

/**
 * Whether branches with triggers move just when their conditions say so: looked at after each
 * transaction, by what lines of commits have and have not, without the counts that the product keeps.
 */
export class TriggerLaw {
  readonly #rows: Connection
  readonly #gaps: ClockGaps
  #heads: ReadonlyMap<string, Head> = new Map()
  #triggers: ReadonlyMap<string, Trigger> = new Map()
  #judgements: Judgement[] = []
  #broken: string | undefined
  /** `repo@branch` that people may move themselves in this step. */
  movedByHand: string | undefined

  constructor(rows: Connection, gaps: ClockGaps) {
    this.#rows = rows
    this.#gaps = gaps
  }

  /** After a transaction. */
  look(now: Instant): void {
    const rows = this.#rows.all<TriggerRow & Record<string, string | number>>(
      `SELECT repo, branch, source, size_bytes, commit_count, schedule, is_all, last_tick
        FROM branch_triggers`,
    )
    const heads = this.#headsNow()
    const known = new Map<string, Trigger>()
    for (const { repo, branch, last_tick: lastTick, ...conditions } of rows) {
      const name = nameOf(repo, branch)
      const before = this.#triggers.get(name)
      const isSame = before?.conditions.schedule === conditions.schedule
      if (!isSame && (lastTick > now || lastTick < this.#gaps.before(now))) {
        this.#broken ??= `the trigger of ${name} begins at ${lastTick}, and was set at ${now}`
      }
      const fresh = { setAt: lastTick, firedAt: before?.firedAt ?? 0, changedAt: now }
      const times = isSame ? before : fresh
      const { setAt, firedAt, changedAt } = times
      const trigger = { repo, branch, conditions, setAt, firedAt, changedAt }
      known.set(name, trigger)
      const isSet = JSON.stringify(before?.conditions) !== JSON.stringify(conditions)
      this.#judge(trigger, heads, isSet, now)
    }
    this.#heads = heads
    this.#triggers = known
  }

  /** What is wrong with what was seen in the last step. */
  check(bytesOf: BytesOf): string | undefined {
    const judgements = this.#judgements
    this.#judgements = []
    for (const { trigger, added, hasMoved, hasTicked, what } of judgements) {
      const holds = this.#holds(trigger, { added, hasTicked }, bytesOf)
      if (holds === undefined || holds === hasMoved) continue
      this.#broken ??= `branch ${trigger.repo}@${trigger.branch} ${hasMoved ? 'has moved' : 'has not moved'} when ${what}, though what it follows had ${added.length} commits more: ${JSON.stringify(trigger.conditions)}`
    }
    return this.#broken
  }

  /** What a clock should have moved by now, when all has come to rest. */
  checkTicks(now: Instant, bytesOf: BytesOf): string | undefined {
    for (const trigger of this.#triggers.values()) {
      const { repo, branch, conditions, setAt, firedAt, changedAt } = trigger
      const head = this.#heads.get(nameOf(repo, conditions.source))
      if (conditions.schedule === '' || head?.isFinished !== true) continue
      const since = conditions.is_all === 1 ? Math.max(setAt, firedAt) : Math.max(setAt, changedAt)
      const ticks = ticksBetween(conditions.schedule, setAt, now).filter((tick) => tick > since)
      const added = this.#added(head.id, this.#heads.get(nameOf(repo, branch))?.id)
      const hasTicked = ticks.length > 0
      if (!hasTicked || this.#holds(trigger, { added, hasTicked }, bytesOf) !== true) continue
      if (conditions.is_all === 1 && ticks.every((tick) => tick <= changedAt)) continue
      return `the clock of branch ${repo}@${branch} has ticked, and it has not moved: ${JSON.stringify(conditions)}`
    }
    return undefined
  }

  #headsNow(): ReadonlyMap<string, Head> {
    const rows = this.#rows.all<{
      readonly repo: string
      readonly name: string
      readonly head: string
      readonly finished_at: number | null
    }>(
      `SELECT branches.repo, name, head, finished_at FROM branches JOIN commits ON id = head
        ORDER BY branches.repo, name`,
    )
    return new Map(
      rows.map(({ repo, name, head, finished_at: at }) => [
        nameOf(repo, name),
        { id: head, isFinished: at !== null },
      ]),
    )
  }

  #judge(trigger: Trigger, heads: ReadonlyMap<string, Head>, isSet: boolean, now: Instant): void {
    const { repo, branch, conditions } = trigger
    const name = nameOf(repo, branch)
    const [before, after] = [this.#heads.get(name)?.id, heads.get(name)?.id]
    const followed = heads.get(nameOf(repo, conditions.source))
    const hasNews = isSet || !isSameHead(followed, this.#heads.get(nameOf(repo, conditions.source)))
    const hasMoved = before !== after
    if (hasMoved || hasNews) trigger.changedAt = now
    const isGone = before !== undefined && hasMoved && !this.#isThere(before)
    // Whoever deletes its head moves the branch back.
    const isByHand = hasMoved && (isGone || this.movedByHand === name)
    if (isByHand || (!hasMoved && !hasNews)) return
    if (followed?.isFinished !== true) {
      if (hasMoved) this.#broken ??= `${name} has moved to ${after}, and there was nothing new`
      return
    }
    if (hasMoved && after !== followed.id) {
      this.#broken ??= `${name} has moved to ${after}, and not to the head of ${conditions.source}`
    }
    const what = `${conditions.source} was at ${followed.id}, from ${before} to ${after}`
    const hasTicked = this.#hasTicked(trigger, now)
    const added = this.#added(followed.id, before)
    // Where only a clock could tell, it has its own look.
    if (!hasMoved && conditions.schedule !== '') return
    if (hasMoved) trigger.firedAt = now
    this.#judgements.push({ trigger: { ...trigger }, added, hasMoved, hasTicked, what })
  }

  /** Whether a tick of its clock may have come since it moved the branch last. */
  #hasTicked({ conditions, setAt, firedAt }: Trigger, now: Instant): boolean {
    if (conditions.schedule === '') return false
    // Alone, it counts when it comes.
    const from = this.#gaps.dueSince(conditions.is_all === 1 ? firedAt : now)
    return ticksBetween(conditions.schedule, setAt, now).some((tick) => tick >= from)
  }

  #holds(
    { conditions }: Trigger,
    { added, hasTicked }: Pick<Judgement, 'added' | 'hasTicked'>,
    bytesOf: BytesOf,
  ): boolean | undefined {
    if (added.length === 0) return false
    const { size_bytes: size, commit_count: count, schedule, is_all: all } = conditions
    const sizes = size === 0 ? [] : added.map(bytesOf)
    if (sizes.includes(undefined)) return undefined
    const bytes = sizes.reduce<number>((sum, one) => sum + (one ?? 0), 0)
    const holding = [
      ...(size === 0 ? [] : [bytes >= size]),
      ...(count === 0 ? [] : [added.length >= count]),
      ...(schedule === '' ? [] : [hasTicked]),
    ]
    return all === 1 ? !holding.includes(false) : holding.includes(true)
  }

  /** What the line of one commit has and that of the other has not. */
  #added(head: string, other: string | undefined): readonly string[] {
    const theirs = new Set(this.#line(other))
    const added: string[] = []
    for (const id of this.#line(head)) {
      if (theirs.has(id)) break
      added.push(id)
    }
    return added
  }

  #line(head: string | undefined): readonly string[] {
    const line: string[] = []
    for (let id: string | null | undefined = head; typeof id === 'string';) {
      const row: { readonly parent: string | null } | undefined = this.#rows.get(
        'SELECT parent FROM commits WHERE id = ?',
        [id],
      )
      if (row !== undefined) line.push(id)
      id = row?.parent
    }
    return line
  }

  #isThere(id: string): boolean {
    return this.#rows.get('SELECT id FROM commits WHERE id = ?', [id]) !== undefined
  }
}

function nameOf(repo: string, branch: string): string {
  return `${repo}@${branch}`
}

function isSameHead(left: Head | undefined, right: Head | undefined): boolean {
  return left?.id === right?.id && left?.isFinished === right?.isFinished
}
