import { InvalidArgumentError } from '../../base/errors.ts'
import { parseBranchName, type BranchName, type PipelineName } from '../../base/names.ts'
import { parseSize } from '../../base/sizes.ts'
import type { InputTrigger } from '../inputs.ts'

/** A trigger as a client sent it. */
export interface RequestedTrigger {
  /** The branch that is followed. */
  readonly branch: string
  readonly all: boolean
  /** Such as `10MB`; empty: no such condition. */
  readonly size: string
  /** 0: no such condition. */
  readonly commits: number
  readonly cronSpec: string
}

/**
 * Checks a trigger by itself; what its clock says, `parseSchedule` checks.
 *
 * @throws {InvalidArgumentError}
 */
export function checkTrigger({
  branch,
  all,
  size,
  commits,
  cronSpec,
}: RequestedTrigger): InputTrigger {
  if (size === '' && commits === 0 && cronSpec === '') {
    throw new InvalidArgumentError(
      'a trigger needs a condition: a size such as "10MB", a number of commits, a cron spec, or several of these',
    )
  }
  if (!Number.isSafeInteger(commits) || commits < 0) {
    throw new InvalidArgumentError(`a trigger cannot wait for ${commits} commits: give 1 or more`)
  }
  const sizeBytes = size === '' ? 0 : triggerBytes(size)
  return {
    source: parseBranchName(branch),
    all,
    sizeBytes,
    commitCount: commits,
    schedule: cronSpec,
  }
}

function triggerBytes(size: string): number {
  const bytes = parseSize(size)
  if (bytes !== undefined && bytes >= 1) return bytes
  throw new InvalidArgumentError(
    `the size ${JSON.stringify(size.slice(0, 100))} of a trigger makes no sense: write a number of bytes with a unit, such as 10MB or 1GiB`,
  )
}

const commitIdLength = 32

/** The branch through which a pipeline reads a repo where its spec has a trigger. */
export function triggerBranch(pipeline: PipelineName): BranchName {
  const name = `${pipeline}-trigger`
  // As long as a commit's id, no branch may be.
  return parseBranchName(name.length === commitIdLength ? `${name}-branch` : name)
}
