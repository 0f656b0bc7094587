import { readFileSync } from 'node:fs'

const linesMax = 5

/** Of newer versions of mount, after each message: there is nothing more in that place. */
const hint = 'dmesg(1) may have more information'

/**
 * How util-linux, in English, says that something is not for this machine, or for this user: newer versions
 * name the call (`fsmount() failed: …`), and give the kernel's own words.
 */
const refusals: readonly RegExp[] = [
  /^(unshare|setpriv|mount|umount|pivot_root): (?!failed to execute).*(operation not permitted|permission denied|must be superuser|function not implemented|unknown filesystem type|operation not supported|mount too revealing)/i,
  /^(unshare|pivot_root): (?!failed to execute).*: (invalid argument|too many users)/i,
  /^no filter of system calls: (operation not permitted|permission denied|invalid argument|function not implemented)/i,
]

/** Whether tools gave up for what will stay, and not for want of memory, processes or room. */
export function isForbidden(complaint: string, namespaceCounts: readonly number[]): boolean {
  const message = lastMessage(complaint)
  // The kernel's word for too many namespaces, of which it may allow none.
  if (message.startsWith('unshare: ') && message.endsWith(': No space left on device')) {
    return namespaceCounts.includes(0)
  }
  return refusals.some((refusal) => refusal.test(message))
}

/** How many namespaces a user may have, of each kind that a sandbox needs. */
export function namespaceCountsMax(mode: 'root' | 'user'): readonly number[] {
  const kinds = mode === 'user' ? ['user', 'mnt', 'pid', 'ipc'] : ['mnt', 'pid', 'ipc']
  return kinds.flatMap((kind) => {
    try {
      return [Number(readFileSync(`/proc/sys/user/max_${kind}_namespaces`, 'utf8'))]
    } catch {
      // A kernel without these bounds.
      return []
    }
  })
}

/** As much of what tools said as tells why they gave up, in one line for people. */
export function complaintText(complaint: string): string {
  const lines = linesOf(complaint)
    .map((line) => line.trim())
    .filter((line) => !line.startsWith(hint))
  const last = lines.at(-1) ?? ''
  // What is wrong with a place of the pipeline's choice is said by the script itself.
  return isOfPipeline(last) ? last : lines.slice(-linesMax).join('; ')
}

export function isOfPipeline(complaint: string): boolean {
  return complaint.startsWith('mount_path ')
}

/** A message goes on in lines that are indented. */
function lastMessage(complaint: string): string {
  return linesOf(complaint).findLast((line) => !/^\s/.test(line)) ?? ''
}

function linesOf(text: string): readonly string[] {
  return text.split('\n').filter((line) => line.trim() !== '')
}
