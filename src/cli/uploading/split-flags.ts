import { delimiters, type SplitFields } from '../../base/content-messages.ts'
import { UnimplementedError } from '../../base/errors.ts'
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
function isKnownTo15({ delimiter, headerRecords, footerRecords }: SplitFields): boolean {
  const isOld = delimiter === line || delimiter === json
  return isOld && headerRecords === 0n && footerRecords === 0n
}

/** @throws {UnimplementedError} for how no server of 1.5 can split. */
export function requireKnown(split: SplitFields | undefined): void {
  if (split === undefined || isKnownTo15(split)) return
  throw new UnimplementedError(
    'the server is one of Pachyderm 1.5, which splits by line and json only, without header or footer records',
  )
}
