import { isCommitId } from '../../base/names.ts'
import type { ReadTransaction } from '../../database/database.ts'
import { checkCommitNames, getCommit } from '../../versioning/commit-records.ts'
import type { RequestedAtom, RequestedInput } from '../requested-specs.ts'

/**
 * The same input with ids in place of other names of commits, as they are now: `from_commit` may be
 * a branch, a commit tag, or `master~3`.
 *
 * @throws {NotFoundError} for a name that means no commit.
 * @throws {InvalidArgumentError} for one that is malformed, or names that go back too far together.
 */
export async function withFromIds(
  tx: ReadTransaction,
  input: RequestedInput,
): Promise<RequestedInput> {
  checkCommitNames(fromNames(input))
  return inputFromIds(tx, input)
}

function fromNames({ atom, cross, union, join, group }: RequestedInput): readonly string[] {
  const members = [cross, union, join, group].flatMap((inputs) => inputs ?? [])
  return [...(atom === undefined ? [] : [atom.fromCommit]), ...members.flatMap(fromNames)]
}

async function inputFromIds(tx: ReadTransaction, input: RequestedInput): Promise<RequestedInput> {
  const { atom, cross, union, join, group } = input
  return {
    ...input,
    ...(atom !== undefined && { atom: await atomFromId(tx, atom) }),
    ...(cross !== undefined && { cross: await allFromIds(tx, cross) }),
    ...(union !== undefined && { union: await allFromIds(tx, union) }),
    ...(join !== undefined && { join: await allFromIds(tx, join) }),
    ...(group !== undefined && { group: await allFromIds(tx, group) }),
  }
}

async function allFromIds(
  tx: ReadTransaction,
  inputs: readonly RequestedInput[],
): Promise<readonly RequestedInput[]> {
  const resolved: RequestedInput[] = []
  for (const input of inputs) resolved.push(await inputFromIds(tx, input))
  return resolved
}

async function atomFromId(tx: ReadTransaction, atom: RequestedAtom): Promise<RequestedAtom> {
  const { repo, fromCommit } = atom
  if (fromCommit === '' || isCommitId(fromCommit)) return atom
  return { ...atom, fromCommit: (await getCommit(tx, repo, fromCommit)).id }
}
