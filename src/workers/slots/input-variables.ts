import type { WorkMember } from '../../pipelines/datum-worker.ts'

/** What decides how programs run, and what says whose run it is. */
const taken = /^(?:PATH|HOME|LANG|PFS|TMPDIR|IFS|ENV|BASH_ENV|LD_.*|PACH_.*|PPS_.*)$/

/**
 * A variable for each input, named like it, with the path of the file or directory that the datum
 * is about. An input that is named like a variable of the pipeline's own has none.
 *
 * `pfsPath` is what user code sees as `/pfs`.
 */
export function inputVariables(
  members: readonly WorkMember[],
  pfsPath: string,
  own: Readonly<Record<string, string>>,
): Readonly<Record<string, string>> {
  const variables: Record<string, string> = {}
  for (const { input, path } of members) {
    if (taken.test(input) || input.includes('=') || Object.hasOwn(own, input)) continue
    variables[input] = `${pfsPath}/${input}${path}`
  }
  return variables
}
