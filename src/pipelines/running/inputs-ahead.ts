import type { Content } from '../../storage/contents.ts'
import type { TreeEntry } from '../../storage/file-trees.ts'
import type { DatumRecord } from '../datums/datum-sets.ts'
import { memberEntry } from '../datums/member-entries.ts'
import { atomsOf } from '../inputs.ts'
import type { JobPlan } from './plan.ts'
import type { RunPorts } from './run-ports.ts'

/** A datum that is about to be processed. */
export interface PendingDatum extends DatumRecord {
  /** What its members are, one for each, where that is known. */
  readonly entries?: readonly TreeEntry[]
}

/**
 * Finds what the members of datums are, which are about to be processed in this order, and has small files be at
 * hand. What cannot be read is left to whoever processes the datum, and can say so in its name.
 */
export async function withInputs(
  ports: Pick<RunPorts, 'trees' | 'contents'>,
  plan: Pick<JobPlan, 'spec' | 'inputTrees'>,
  datums: readonly DatumRecord[],
): Promise<readonly PendingDatum[]> {
  const { input } = plan.spec
  const lazy = new Set(atomsOf(input).flatMap((atom) => (atom.lazy ? [atom.name] : [])))
  const contents: Content[] = []
  const found: PendingDatum[] = []
  try {
    for (const datum of datums) {
      const entries: TreeEntry[] = []
      for (const member of datum.members) {
        const entry = await memberEntry(ports.trees, input, plan.inputTrees, member)
        entries.push(entry)
        if (entry.kind === 'file' && !lazy.has(member.input)) contents.push(entry.content)
      }
      found.push({ ...datum, entries })
    }
    await ports.contents.readAhead(contents)
  } catch {
    // As above.
  }
  return [...found, ...datums.slice(found.length)]
}
