import { unreachable } from '../../base/errors.ts'
import type { Content, Contents } from '../../storage/contents.ts'
import type { NamedFile } from '../../storage/file-trees.ts'
import type { Spools } from '../../storage/spool.ts'
import { checkCancelled } from '../records/cancellation.ts'
import { pieceName, type Split } from '../splits.ts'
import { CsvFinder } from './csv-finder.ts'
import { type Frame, HeaderTarget } from './frame.ts'
import { JsonFinder } from './json-finder.ts'
import { LineFinder } from './line-finder.ts'
import { PieceWriter } from './piece-writer.ts'
import type { RecordFinder, Slice, SplitSource } from './records.ts'
import { spooledDump, spooledRecords } from './spooled.ts'

export interface PiecePorts {
  readonly contents: Contents
  readonly spools: Spools
}

/**
 * The pieces of a stream by their names, numbered from 0, some at a time. Holds a few MiB of it; where
 * the footer is known at the end only, the stream lies in a spool until then.
 *
 * @throws {MalformedInputError}
 */
export async function* piecesOf(
  ports: PiecePorts,
  source: SplitSource,
  split: Split,
): AsyncGenerator<readonly NamedFile[]> {
  let count = 0
  for await (const contents of pieceContents(ports, source, split)) {
    if (contents.length === 0) continue
    yield contents.map((content, index) => ({ name: pieceName(count + index), content }))
    count += contents.length
  }
}

async function* pieceContents(
  ports: PiecePorts,
  source: SplitSource,
  split: Split,
): AsyncGenerator<readonly Content[]> {
  const { format, footerRecords } = split
  if (format !== 'sql' && footerRecords === 0) {
    yield* splitStream(ports.contents, source, split, emptyFrame)
    return
  }
  await using spool = ports.spools.open()
  const spooled =
    format === 'sql'
      ? await spooledDump(spool, source)
      : await spooledRecords(spool, source, { ...split, finder: finderFor(split, source.path) })
  if (spooled === undefined) return
  const body = { ...source, bytes: spool.read(0, spooled.bodyBytes) }
  yield* splitStream(ports.contents, body, { ...split, headerRecords: 0 }, spooled)
}

/** Of a stream that has not brought more, next to nothing is held while it brings no more. */
const lightBytesMax = 64 * 1024

const emptyFrame: Frame = { header: new Uint8Array(0), footer: new Uint8Array(0) }

async function* splitStream(
  contents: Contents,
  { bytes, path, signal }: SplitSource,
  split: Split,
  frame: Frame,
): AsyncGenerator<readonly Content[]> {
  await using series = contents.series()
  const finder = finderFor(split, path)
  const header = new HeaderTarget(path, split.headerRecords)
  let pieces = header.isFull ? new PieceWriter(series, split, frame) : undefined
  let start = 0
  for await (const each of bytes) {
    checkCancelled(signal)
    if (each.length === 0) continue
    const slice: Slice = { bytes: each, start }
    start += each.length
    let at = pieces === undefined ? finder.advance(slice, 0, header) : 0
    if (!header.isFull) continue
    pieces ??= new PieceWriter(series, split, { ...frame, header: header.joined() })
    while (at < each.length) {
      at = finder.advance(slice, at, pieces)
      if (series.isFull) yield await series.take()
    }
    if (start <= lightBytesMax) series.rest()
    yield await series.take()
  }
  finder.finish()
  if (!header.isFull) header.finish(finder.isWithin)
  pieces?.finish()
  yield await series.finish()
}

function finderFor({ format }: Split, path: string): RecordFinder {
  switch (format) {
    case 'line':
    case 'sql': // its rows
      return new LineFinder()
    case 'json':
      return new JsonFinder(path)
    case 'csv':
      return new CsvFinder(path)
    default:
      return unreachable(format)
  }
}
