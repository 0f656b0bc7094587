import { describe, expect, test } from 'vitest'
import { noise } from '../../testing/reference-splitter.ts'
import { CutFinder } from './cut-finder.ts'
import { gearTable } from './gear.ts'
import { Splitter } from './splitter.ts'

const mib = 1024 * 1024

function cuts(bytes: Uint8Array, pieceBytes: number): readonly number[] {
  const splitter = new Splitter(new CutFinder())
  const ends: number[] = []
  let end = 0
  const take = (): void => {
    end += splitter.take().length
    ends.push(end)
  }
  for (let at = 0; at < bytes.length;) {
    at += splitter.push(bytes.subarray(at, at + pieceBytes))
    if (splitter.isWhole) take()
  }
  if (splitter.pendingBytes > 0) take()
  return ends
}

describe('the splitter', () => {
  const eight = noise(8 * mib)
  const vectors: readonly (readonly [string, Uint8Array, readonly number[]])[] = [
    [
      '8 MiB of noise',
      eight,
      [932_928, 1_892_067, 3_245_967, 4_251_091, 5_346_611, 6_395_000, 7_994_902, 8_388_608],
    ],
    ['noise from 1 to 4 MiB', eight.subarray(mib, 4 * mib), [843_491, 2_197_391, 3_145_728]],
    ['5 MiB of zeros', new Uint8Array(5 * mib), [4_194_304, 5_242_880]],
    ['a short pattern', Buffer.alloc(2_200_000, 'abcdefghijk'), [2_200_000]],
  ]

  // The vectors of docs/formats/chunks.md.
  test.for(vectors)('cuts %s where the format says, however it comes', ([, bytes, ends]) => {
    for (const pieceBytes of [9 * mib, mib + 1, 65_536])
      expect(cuts(bytes, pieceBytes)).toEqual(ends)
  })

  test('chunks are the bytes that were pushed, also of streams that take turns', () => {
    const finder = new CutFinder()
    const streams = [eight.subarray(0, 4 * mib), eight.subarray(4 * mib)].map((bytes) => ({
      bytes,
      at: 0,
      splitter: new Splitter(finder),
      chunks: [] as Uint8Array[],
    }))
    while (streams.some(({ at, bytes }) => at < bytes.length)) {
      for (const stream of streams) {
        stream.at += stream.splitter.push(stream.bytes.subarray(stream.at, stream.at + 10_007))
        if (stream.splitter.isWhole) stream.chunks.push(stream.splitter.take())
      }
    }
    for (const { bytes, splitter, chunks } of streams) {
      chunks.push(splitter.take())
      expect(chunks).toHaveLength(cuts(bytes, mib).length)
      expect(Buffer.compare(Buffer.concat(chunks), bytes)).toBe(0)
    }
  })

  test('the gear table follows from SHA-256', () => {
    const gear = gearTable()
    expect([gear[0], gear[1], gear[255]]).toEqual([0x9c0b346e, 0x2f12f54b, 0xe60a10a8])
  })
})
