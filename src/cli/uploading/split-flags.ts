import { delimiters, type SplitFields } from '../../base/content-messages.ts'
import { UsageError } from '../errors.ts'
import type { Flags } from '../flags.ts'

const { line, json, csv, sql } = delimiters
const byName: ReadonlyMap<string, number> = new Map(Object.entries({ line, json, csv, sql }))

/** Flags that say something of `--split`. */
const splitCounts = [
  'target-file-datums',
  'target-file-bytes',
  'header-records',
  'footer-records',
] as const

/** What `--split` and its flags say; undefined without it. @throws {UsageError} */
export function splitFlags(flags: Flags): SplitFields | undefined {
  const format = flags.text('split')
  if (format === '') {
    const stray = splitCounts.find((name) => flags.count(name) > 0)
    if (stray === undefined) return undefined
    throw new UsageError(`--${stray} is about how to split: say by what, as in --split line`)
  }
  const delimiter = byName.get(format)
  if (delimiter === undefined) {
    throw new UsageError(
      `unrecognized delimiter '${format}'; only accepts 'line', 'json', 'csv' or 'sql'`,
    )
  }
  const [datums, bytes, header, footer] = splitCounts.map((name) => BigInt(flags.count(name)))
  return {
    delimiter,
    targetFileDatums: datums ?? 0n,
    targetFileBytes: bytes ?? 0n,
    headerRecords: header ?? 0n,
    footerRecords: footer ?? 0n,
  }
}

/** Whether servers of 1.5 know how to split so; of what they do not know, they would say nothing. */
export function isKnownTo15({ delimiter, headerRecords, footerRecords }: SplitFields): boolean {
  const isOld = delimiter === line || delimiter === json
  return isOld && headerRecords === 0n && footerRecords === 0n
}
