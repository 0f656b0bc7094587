import { equalBytes } from '../../base/bytes.ts'
import { parentPath } from '../../base/paths.ts'
import type { DirectoryEntry, TreeEdit, TreeEntry } from '../../storage/file-trees.ts'
import { findResults } from '../datum-results.ts'
import type { DatumWork, WorkMember } from '../datum-worker.ts'
import { datumKey, type DatumKey, type DatumMember } from '../datums.ts'
import { atomsOf } from '../inputs.ts'
import type { RunPorts } from './run-ports.ts'
import type { JobPlan } from './plan.ts'

/**
 * What the code of an incremental pipeline is shown: of the branch that started the job, the files
 * that are new or changed since the commit before; and in `/pfs/out`, what the datum's parent wrote.
 *
 * The parent is the datum with the same members as they were in the commit before. Undefined when
 * there is none, or it has no result, so that the whole datum must be processed.
 */
export async function newContents(
  ports: RunPorts,
  plan: JobPlan,
  datum: { readonly key: DatumKey; readonly members: readonly WorkMember[] },
): Promise<Pick<DatumWork, 'members' | 'formerOutput'> | undefined> {
  if (plan.formerTree === undefined) return undefined
  const before = await formerEntries(ports, plan, plan.formerTree, datum.members)
  if (before === undefined) return undefined
  const { trees } = ports
  const parent = datumKey(
    plan.job,
    datum.members.map(({ input, path, entry }, index): DatumMember => {
      return { input, path, hash: trees.entryHash(before[index] ?? entry) }
    }),
  )
  if (parent === datum.key) return undefined
  const results = await ports.database.read((tx) => findResults(tx, [parent]))
  const result = results.get(parent)
  if (result === undefined) return undefined
  const members: WorkMember[] = []
  for (const [index, member] of datum.members.entries()) {
    const former = before[index]
    members.push(former === undefined ? member : await newMember(ports, former, member))
  }
  return { members, formerOutput: result.output }
}

/**
 * What the members of the branch that started the job were; undefined in place of members of other
 * inputs. Undefined as a whole when one was not there.
 */
async function formerEntries(
  ports: RunPorts,
  plan: JobPlan,
  tree: DirectoryEntry,
  members: readonly WorkMember[],
): Promise<readonly (TreeEntry | undefined)[] | undefined> {
  const { repo } = plan.job.trigger
  const atoms = atomsOf(plan.spec.input).filter((atom) => atom.repo === repo)
  const before: (TreeEntry | undefined)[] = []
  for (const { input, path } of members) {
    const isOfTrigger = atoms.some(({ name }) => name === input)
    const entry = isOfTrigger ? await ports.trees.get(tree, path) : undefined
    if (isOfTrigger && entry === undefined) return undefined
    before.push(entry)
  }
  return before.some((entry) => entry !== undefined) ? before : undefined
}

/** The files of a member that are new or have other content than in `former`. */
async function newMember(
  { trees }: RunPorts,
  former: TreeEntry,
  member: WorkMember,
): Promise<WorkMember> {
  const { path, entry } = member
  const empty = await trees.emptyRoot()
  if (entry.kind === 'file') {
    const isSame =
      former.kind === 'file' && equalBytes(trees.entryHash(former), trees.entryHash(entry))
    // The directory that it would be in.
    return isSame ? { ...member, path: parentPath(path), entry: empty } : member
  }
  const edits = async function* edits(): AsyncGenerator<TreeEdit> {
    for await (const { path: below, after } of trees.diff(former, entry)) {
      if (after !== undefined) yield { path: below, entry: after }
    }
  }
  return { ...member, entry: await trees.edit(empty, edits(), { emptied: 'remove' }) }
}
