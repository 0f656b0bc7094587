import { UsageError } from '../errors.ts'

/** What a cluster may be, and what it becomes: 1.5.0 is what this server speaks, as any 1.5 does. */
const sources = /^1\.(?:4(?:\.(?:[0-9]|\*|x))?|5(?:\.(?:[0-9]+|\*|x))?)$/
const targets = /^1\.5(?:\.(?:[0-9]+|\*|x))?$/
const possible =
  'from 1.4.0 to 1.4.9, 1.4, 1.5 or any 1.5.x (also as 1.4.* and 1.5.*), to 1.5, 1.5.0 or any other 1.5.x'

/**
 * The original's form: `--from 1.4.8 --to 1.5.0`; either may be empty, and say no more than `1.5`.
 *
 * @throws {UsageError} for other pairs.
 */
export function requireMigratedVersions(from: string, to: string): void {
  const isSource = from === '' || sources.test(from)
  if (isSource && (to === '' || targets.test(to))) return
  const ways = [`unable to find a migration routine that migrates from version ${from || '1.4.x'}`]
  if (isSource) ways.push(`to version ${to}`)
  const advice = from.startsWith('1.3')
    ? '; of 1.3, put the files with history: pachctl put-file --history'
    : from.startsWith('v')
      ? `; give the number alone: --from ${from.slice(1)}`
      : ''
  throw new UsageError(`${ways.join(' ')}: clusters can be migrated ${possible}${advice}`)
}
