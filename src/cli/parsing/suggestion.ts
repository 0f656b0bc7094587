/** What is longer is no name with a slip in it, and comparing it takes long. */
const slipLengthMax = 200

/** The candidate that is most like `text`, if one is like it at all. */
export function suggestion(text: string, candidates: readonly string[]): string | undefined {
  if (text.length > slipLengthMax) return undefined
  let best: string | undefined
  let bestDistance = Math.max(1, Math.floor(text.length / 3)) + 1
  for (const candidate of candidates) {
    const distance = sortedWords(text) === sortedWords(candidate) ? 1 : editCount(text, candidate)
    if (distance < bestDistance) {
      best = candidate
      bestDistance = distance
    }
  }
  return best
}

/**
 * What may be meant by a command that does not exist, and the word behind it: `list repo`, or a
 * part of names, such as `merge`, or else a name like it. Undefined when nothing is.
 */
export function commandHint(
  [name, next = '']: readonly [string, string | undefined],
  commands: readonly string[],
): string | undefined {
  const joined = [`${name}-${next}`, `${next}-${name}`]
  const whole = commands.filter((command) => joined.includes(command))
  const first = commands.filter((command) => command.startsWith(`${name}-`))
  const inner = commands.filter((command) => command.split('-').includes(name))
  const near = suggestion(name, commands)
  const meant = [whole, first, inner, near === undefined ? [] : [near]]
  const [found, ...others] = meant.find((names) => names.length > 0) ?? []
  if (found === undefined) return undefined
  if (others.length === 0) return `did you mean ${found}?`
  return `did you mean one of ${[found, ...others].join(', ')}?`
}

/** `repo-create` is `create-repo` the other way round. */
function sortedWords(text: string): string {
  return text.split('-').toSorted().join('-')
}

/** Letters to insert, to delete, to change or to swap with the next, until the texts are equal. */
function editCount(from: string, to: string): number {
  let beforeLast: number[] = []
  let last = Array.from({ length: to.length + 1 }, (_, index) => index)
  for (let row = 1; row <= from.length; row += 1) {
    const current = [row]
    for (let column = 1; column <= to.length; column += 1) {
      const isSame = from[row - 1] === to[column - 1]
      const isSwap = from[row - 1] === to[column - 2] && from[row - 2] === to[column - 1]
      current.push(
        Math.min(
          (last[column] ?? 0) + 1,
          (current[column - 1] ?? 0) + 1,
          (last[column - 1] ?? 0) + (isSame ? 0 : 1),
          isSwap ? (beforeLast[column - 2] ?? 0) + 1 : Infinity,
        ),
      )
    }
    beforeLast = last
    last = current
  }
  return last[to.length] ?? 0
}
