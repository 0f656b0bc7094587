import { closeSync, readdirSync, readFileSync } from 'node:fs'

const closeOnExec = 0o2_000_000
const standardCount = 3

/**
 * Closes what whoever started this process has left open besides the three streams: user code, and
 * every other program that the server starts, would inherit it. Node's own are never inherited, nor are the first 16, which it sees to.
 */
export function closeInherited(): void {
  // Of a parent that is Node, too.
  if (process.send !== undefined) return
  for (const descriptor of descriptors()) {
    if (descriptor >= standardCount && isInheritable(descriptor)) closeSync(descriptor)
  }
}

function descriptors(): readonly number[] {
  try {
    return readdirSync('/proc/self/fd').map(Number)
  } catch {
    // No Linux.
    return []
  }
}

function isInheritable(descriptor: number): boolean {
  try {
    const text = readFileSync(`/proc/self/fdinfo/${descriptor}`, 'utf8')
    const flags = /^flags:\s*([0-7]+)$/m.exec(text)?.[1]
    return flags !== undefined && (Number.parseInt(flags, 8) & closeOnExec) === 0
  } catch {
    // It was the one by which the others were listed.
    return false
  }
}
