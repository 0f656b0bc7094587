/** What an argument stands for, where `REPO@COMMIT:PATH` may stand for several of them. */
export type SlotKind = 'repo' | 'commit' | 'path' | 'qualified' | 'other'

/** A place for an argument in a form such as `REPO COMMIT [PATH]`. */
export interface ArgumentSlot {
  /** As help writes it: `NEW-REPO`. */
  readonly name: string
  readonly kind: SlotKind
  /** Begins, and ends, what is in brackets: that comes together or not at all. */
  readonly opens: boolean
  readonly closes: boolean
  /** May be repeated. */
  readonly repeats: boolean
}

/** By what the name of a slot ends with. */
const kinds: Readonly<Record<string, SlotKind>> = {
  REPO: 'repo',
  COMMIT: 'commit',
  BRANCH: 'commit',
  TAG: 'commit',
  FROM: 'commit',
  TO: 'commit',
  PATH: 'path',
  DIRECTORY: 'path',
  PATTERN: 'path',
  'REPO/COMMIT': 'qualified',
}

/** The slots of a form, in their order. */
export function argumentSlots(form: string): readonly ArgumentSlot[] {
  const words = form.split(' ').filter((word) => word !== '')
  return words.map((word) => {
    const name = word.replaceAll(/[[\].]/g, '')
    return {
      name,
      kind: kinds[name.split('-').at(-1) ?? ''] ?? 'other',
      opens: word.startsWith('['),
      closes: word.endsWith(']'),
      repeats: word.includes('...'),
    }
  })
}

/** How many of the slots after `index` an argument for it may fill as well: commit, then path. */
export function joinableCount(slots: readonly ArgumentSlot[], index: number): 0 | 1 | 2 {
  if (slots[index]?.kind !== 'repo' || slots[index + 1]?.kind !== 'commit') return 0
  return slots[index + 2]?.kind === 'path' ? 2 : 1
}

/**
 * The form with `@` and `:` where these may join arguments: `REPO@COMMIT[:PATH]`. Undefined when
 * they may not.
 */
export function joinedForm(form: string): string | undefined {
  const slots = argumentSlots(form)
  let text = ''
  let isJoined = false
  for (let index = 0; index < slots.length;) {
    const slot = slots[index]
    if (slot === undefined) break
    const count = joinableCount(slots, index)
    const [, commit, path] = slots.slice(index, index + 1 + count)
    const joined = [slot.name]
    if (commit !== undefined) joined.push(`@${commit.name}`)
    // Without its commit, the path would stand behind the repo.
    if (path !== undefined) joined.push(path.opens ? `[:${path.name}]` : `:${path.name}`)
    if (slot.kind === 'qualified') joined.splice(0, 1, slot.name.replace('/', '@'))
    isJoined ||= count > 0 || slot.kind === 'qualified'
    const last = slots[index + count]
    const opens = slot.opens ? '[' : ''
    const closes = last?.closes === true && (slot.opens || count === 0) ? ']' : ''
    text += `${index === 0 ? '' : ' '}${opens}${joined.join('')}${slot.repeats ? '...' : ''}${closes}`
    index += 1 + count
  }
  return isJoined ? text : undefined
}
