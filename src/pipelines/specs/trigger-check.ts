import { InvalidArgumentError } from '../../base/errors.ts'
import { parseBranchName, type BranchName, type PipelineName } from '../../base/names.ts'
import type { InputTrigger } from '../inputs.ts'
import { quantityValue } from './quantities.ts'

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

const bytesMax: number = 2 ** 53 - 1

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
  const sizeBytes = size === '' ? 0 : parseSize(size)
  return {
    source: parseBranchName(branch),
    all,
    sizeBytes,
    commitCount: commits,
    schedule: cronSpec,
  }
}

/** `10MB`, `64M` and `1Gi`: a quantity, to which a B may be added. */
function parseSize(text: string): number {
  const bytes = quantityValue(text.replace(/i?B$/, (end) => end.slice(0, -1)).replace(/K$/, 'k'))
  if (bytes !== undefined && bytes >= 1 && bytes <= bytesMax) return Math.ceil(bytes)
  throw new InvalidArgumentError(
    `the size ${JSON.stringify(text.slice(0, 100))} of a trigger makes no sense: write a number of bytes with a unit, such as 10MB or 1GiB`,
  )
}

const sizeUnits: readonly (readonly [unit: string, bytes: number])[] = [
  ['TiB', 2 ** 40],
  ['TB', 1e12],
  ['GiB', 2 ** 30],
  ['GB', 1e9],
  ['MiB', 2 ** 20],
  ['MB', 1e6],
  ['KiB', 2 ** 10],
  ['kB', 1e3],
]

/** The size of a trigger as people write it: exact, in the largest unit of which it is a multiple. */
export function triggerSizeText(bytes: number): string {
  const [unit, size] = sizeUnits.find(([, each]) => bytes % each === 0) ?? ['B', 1]
  return `${bytes / size}${unit}`
}

const commitIdLength = 32

/** The branch through which a pipeline reads a repo where its spec has a trigger. */
export function triggerBranch(pipeline: PipelineName): BranchName {
  const name = `${pipeline}-trigger`
  // As long as a commit's id, no branch may be.
  return parseBranchName(name.length === commitIdLength ? `${name}-branch` : name)
}
