import type { TestContext } from 'vitest'

/** Set where no test may be left out for want of something that the machine can be given: in CI. */
export const peersRequired: boolean = process.env['PACHYDERM_TEST_PEERS'] === 'required'

/** Whether a test runs that needs something of the machine: where none may be left out, it fails without. */
export function isTested(isThere: boolean, isRequired: boolean = peersRequired): boolean {
  return isThere || isRequired
}

/** Leaves out the test at hand. @throws {Error} where none may be. */
export function leaveOut(
  context: Pick<TestContext, 'skip'>,
  why: string,
  isRequired: boolean = peersRequired,
): never {
  if (isRequired) throw new Error(`${why}, and PACHYDERM_TEST_PEERS=required leaves no test out`)
  return context.skip(why)
}
