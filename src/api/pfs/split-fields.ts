import { delimiters, type SplitFields } from '../../base/content-messages.ts'
import { InvalidArgumentError } from '../../base/errors.ts'
import type { Split, SplitFormat } from '../../versioning/splits.ts'
import { requireCount } from './names.ts'

const formats: ReadonlyMap<number, SplitFormat> = new Map<number, SplitFormat>([
  [delimiters.json, 'json'],
  [delimiters.line, 'line'],
  [delimiters.sql, 'sql'],
  [delimiters.csv, 'csv'],
])

/**
 * How a request wants content to be split; undefined: not at all.
 *
 * @throws {InvalidArgumentError} for a delimiter that is not known, and for numbers below 0.
 */
export function splitOf(fields: SplitFields | undefined): Split | undefined {
  if (fields === undefined || fields.delimiter === delimiters.none) return undefined
  const format = formats.get(fields.delimiter)
  if (format === undefined) {
    throw new InvalidArgumentError(
      `unrecognized delimiter ${fields.delimiter}: there are JSON (1), LINE (2), SQL (3) and CSV (4)`,
    )
  }
  return {
    format,
    targetRecords: requireCount(fields.targetFileDatums, 'target_file_datums'),
    targetBytes: requireCount(fields.targetFileBytes, 'target_file_bytes'),
    headerRecords: requireCount(fields.headerRecords, 'header_records'),
    footerRecords: requireCount(fields.footerRecords, 'footer_records'),
  }
}
