import { InvalidArgumentError } from '../base/errors.ts'

/** What the records of a stream are: lines, JSON values, records of CSV, or rows of an SQL dump. */
export type SplitFormat = 'line' | 'json' | 'csv' | 'sql'

/**
 * How a stream is split into files, its pieces. A piece ends with the record that reaches one of the
 * targets, and never within a record; without targets, each record is a piece.
 */
export interface Split {
  readonly format: SplitFormat
  /** So many records a piece; 0: no such target. */
  readonly targetRecords: number
  /** At least so many bytes a piece, header and footer not counted; 0: no such target. */
  readonly targetBytes: number
  /** So many records at the start are the beginning of every piece. Not for SQL, which has its own. */
  readonly headerRecords: number
  /** So many records at the end are the end of every piece. For lines and CSV only. */
  readonly footerRecords: number
}

/** Records that a header or a footer may have. */
const frameRecordsMax = 100_000

/** @throws {InvalidArgumentError} for what no stream can be split by. */
export function checkSplit({ format, headerRecords, footerRecords }: Split): void {
  if (format === 'sql' && headerRecords + footerRecords > 0) {
    throw new InvalidArgumentError(
      'an SQL dump says itself what its header and footer are: leave header and footer records away',
    )
  }
  if (format === 'json' && footerRecords > 0) {
    throw new InvalidArgumentError('JSON has no footer records: leave them away')
  }
  for (const count of [headerRecords, footerRecords]) {
    if (count <= frameRecordsMax) continue
    throw new InvalidArgumentError(
      `${count} records are too many for a header or footer: at most ${frameRecordsMax} are allowed`,
    )
  }
}

/** The name of a piece by its number from 0 on: 16 lower-case hex digits. */
export function pieceName(number: number): string {
  return number.toString(16).padStart(pieceNameLength, '0')
}

export const pieceNameLength = 16
/** Numbers of pieces stay below: so far can be counted on from them without loss. */
const pieceNumberMax = 2 ** 52

/** The number that a name stands for when it is read as hex digits; undefined for any other name. */
export function pieceNumberOf(name: string): number | undefined {
  if (!/^[0-9a-fA-F]+$/.test(name)) return undefined
  const number = Number.parseInt(name, 16)
  return number < pieceNumberMax ? number : undefined
}
