import { readdirSync, readFileSync } from 'node:fs'

/** The children of a process of this machine; none if it has ended. */
export function childrenOf(pid: number): readonly number[] {
  try {
    const threads = readdirSync(`/proc/${pid}/task`)
    return threads.flatMap((thread) =>
      readFileSync(`/proc/${pid}/task/${thread}/children`, 'utf8')
        .split(' ')
        .filter(Boolean)
        .map(Number),
    )
  } catch {
    // It has ended, one of its threads has, or this kernel keeps no such list.
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name) && parentOf(name) === pid)
      .map(Number)
  }
}

/** Its children, theirs, and so on: each after its parent. */
export function descendantsOf(pid: number): readonly number[] {
  const found = [...childrenOf(pid)]
  for (const each of found) found.push(...childrenOf(each))
  return found
}

/** Undefined for a process that has ended. */
function parentOf(pid: string): number | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8')
    // The program's name stands in brackets, and may hold some itself.
    const [, parent] = text.slice(text.lastIndexOf(')') + 2).split(' ')
    return Number(parent)
  } catch {
    return undefined
  }
}
