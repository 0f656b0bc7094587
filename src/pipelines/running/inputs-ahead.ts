import type { Content } from '../../storage/contents.ts'
import type { DatumRecord } from '../datums/datum-sets.ts'
import { memberEntry } from '../datums/member-entries.ts'
import { atomsOf } from '../inputs.ts'
import type { JobPlan } from './plan.ts'
import type { RunPorts } from './run-ports.ts'

/**
 * Has small files be at hand that datums, which are about to be processed in this order, are about.
 * What cannot be read is left to whoever processes the datum, and can say so in its name.
 */
export async function readInputsAhead(
  ports: Pick<RunPorts, 'trees' | 'contents'>,
  plan: Pick<JobPlan, 'spec' | 'inputTrees'>,
  datums: readonly DatumRecord[],
): Promise<void> {
  const { input } = plan.spec
  const lazy = new Set(atomsOf(input).flatMap((atom) => (atom.lazy ? [atom.name] : [])))
  const contents: Content[] = []
  try {
    for (const member of datums.flatMap(({ members }) => members)) {
      if (lazy.has(member.input)) continue
      const entry = await memberEntry(ports.trees, input, plan.inputTrees, member)
      if (entry.kind === 'file') contents.push(entry.content)
    }
    await ports.contents.readAhead(contents)
  } catch {
    // As above.
  }
}
