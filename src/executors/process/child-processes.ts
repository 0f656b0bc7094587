import { readdirSync, readFileSync, statSync } from 'node:fs'

/** Links that a directory of threads has besides one for each thread. */
const linkCount = 2

/** The numbers of the threads of a process, as texts. @throws when it has ended. */
export function threadsOf(pid: number): readonly string[] {
  const threads = `/proc/${pid}/task`
  // Most have one, which has the number of the process.
  return statSync(threads).nlink === linkCount + 1 ? [String(pid)] : readdirSync(threads)
}

/** The children of a process of this machine; none if it has ended. */
export function childrenOf(pid: number): readonly number[] {
  try {
    return threadsOf(pid).flatMap((thread) =>
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

/** Its children, theirs, and so on: each after its parent. Of very many, some are found: at least `countMax`. */
export function descendantsOf(
  pid: number,
  countMax: number = Number.POSITIVE_INFINITY,
): readonly number[] {
  const found = [...childrenOf(pid)]
  for (const each of found) {
    if (found.length >= countMax) break
    found.push(...childrenOf(each))
  }
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
