import * as fc from 'fast-check'
import { expect, test } from 'vitest'

import { SystemClock } from '../../base/clock.ts'
import { lineBytesMax, OutputBudget, OutputLines } from './output-lines.ts'

/** Time passes when a test says so. */
class StillClock extends SystemClock {
  elapsedMs = 0

  override monotonicMs(): number {
    return this.elapsedMs
  }
}

function received(
  chunks: readonly Buffer[],
  bytesMax: number,
): { readonly lines: readonly string[]; readonly leftOutCount: number } {
  const lines: string[] = []
  let leftOutCount = 0
  const clock = new StillClock()
  const output = new OutputLines('stdout', clock)
  output.begin(new OutputBudget(bytesMax, clock), {
    onLine: (line) => lines.push(line.text),
    onLeftOut: (lineCount) => (leftOutCount += lineCount),
  })
  for (const chunk of chunks) output.push(chunk)
  output.end()
  return { lines, leftOutCount }
}

function linesOf(chunks: readonly Buffer[]): readonly string[] {
  return received(chunks, 1e9).lines
}

function cut(bytes: Buffer, places: readonly number[]): readonly Buffer[] {
  const ends = [...new Set(places.map((place) => place % (bytes.length + 1)))].toSorted(
    (left, right) => left - right,
  )
  return [0, ...ends].map((start, index) => bytes.subarray(start, ends[index] ?? bytes.length))
}

test('lines are the same however the stream was cut, and an unterminated last one is kept', () => {
  fc.assert(
    fc.property(
      fc.array(fc.string({ unit: 'grapheme' }).map((text) => text.replaceAll('\n', '%'))),
      fc.boolean(),
      fc.array(fc.nat()),
      (lines, isTerminated, places) => {
        const text = lines.map((line) => `${line}\n`).join('')
        const sent = isTerminated ? text : text.slice(0, -1)
        const expected = sent === '' ? [] : sent.replace(/\n$/, '').split('\n')
        const bytes = Buffer.from(sent)
        expect(linesOf(cut(bytes, places))).toEqual(expected)
      },
    ),
  )
})

test('a long line is cut between characters, and nothing of it is lost', () => {
  const text = 'ä€😀'.repeat(lineBytesMax / 4)
  const whole = Buffer.from(`${text}\n`)
  for (const chunks of [[whole], cut(whole, [1, 1000, lineBytesMax, lineBytesMax + 33])]) {
    const lines = linesOf(chunks)
    expect(lines.length).toBeGreaterThan(1)
    expect(lines.every((line) => Buffer.byteLength(line) <= lineBytesMax)).toBe(true)
    expect(lines.join('')).toBe(text)
  }
})

test('output without any newline is handed on in bounded memory, up to the end', () => {
  const chunks = Array.from({ length: 40 }, () => Buffer.alloc(10_000, 'x'))
  const lines = linesOf(chunks)
  expect(lines.join('')).toBe('x'.repeat(400_000))
})

test('of what exceeds the budget the last lines are handed on, whatever the cuts', () => {
  fc.assert(
    fc.property(
      fc.nat({ max: 200_000 }),
      fc.boolean(),
      fc.array(fc.nat(), { maxLength: 20 }),
      (lineCount, isTerminated, places) => {
        const sent = Array.from({ length: lineCount }, (_, index) => `line ${index}`)
        sent.push('the error')
        const bytes = Buffer.from(`${sent.join('\n')}${isTerminated ? '\n' : ''}`)
        const { lines, leftOutCount } = received(cut(bytes, places), 1000)
        expect(lines.length + leftOutCount).toBe(sent.length)
        const headCount = lines.findIndex((line, index) => line !== sent[index])
        const tail = headCount < 0 ? [] : lines.slice(headCount)
        expect(tail).toEqual(tail.length === 0 ? [] : sent.slice(-tail.length))
        expect(lines.at(-1)).toBe('the error')
        // At least what a log keeps of a stream: 384 KiB, at 16 more a line.
        const tailCountMin = leftOutCount > 0 ? (384 * 1024) / (11 + 16) : 0
        expect(tail.length).toBeGreaterThanOrEqual(tailCountMin)
      },
    ),
    { numRuns: 30 },
  )
})

test('the end of a line that is far too long is kept', () => {
  const text = `${'x'.repeat(3_000_000)}the end`
  const { lines, leftOutCount } = received([Buffer.from(`a\n${text}\n`)], 1)
  expect(lines[0]).toBe('a')
  expect(lines.slice(1).join('').length).toBe(512 * 1024 - 1)
  expect(lines.at(-1)).toMatch(/xxthe end$/)
  expect(leftOutCount).toBe(1)
})

test('after a while lines are handed on at once again', () => {
  const clock = new StillClock()
  const lines: string[] = []
  const output = new OutputLines('stdout', clock)
  output.begin(new OutputBudget(1, clock), {
    onLine: ({ text }) => lines.push(text),
    onLeftOut: () => {},
  })
  output.push(Buffer.from('one\ntwo\nthr'))
  expect(lines).toEqual(['one'])
  clock.elapsedMs = 10_000
  output.push(Buffer.from('ee\n'))
  expect(lines).toEqual(['one', 'two', 'three'])
  output.push(Buffer.from('four\nfi'))
  expect(lines).toEqual(['one', 'two', 'three'])
  clock.elapsedMs = 20_000
  output.push(Buffer.from('ve'))
  expect(lines).toEqual(['one', 'two', 'three', 'four'])
  output.end()
  expect(lines).toEqual(['one', 'two', 'three', 'four', 'five'])
})

test('very much output of very short lines costs no more than its bytes', () => {
  const block = Buffer.from('y\n'.repeat(32 * 1024))
  const blocks = Array.from({ length: 1000 }, () => block)
  let receivedCount = 0
  const clock = new StillClock()
  const output = new OutputLines('stdout', clock)
  output.begin(new OutputBudget(1024 * 1024, clock), {
    onLine: () => (receivedCount += 1),
    onLeftOut: () => {},
  })
  for (const bytes of blocks) output.push(bytes)
  output.end()
  expect(receivedCount).toBeLessThan(100_000)
})

test('bytes that are not UTF-8 become replacement characters', () => {
  const lines = linesOf([Buffer.from([0x61, 0xff, 0x62, 0x0a])])
  expect(lines).toEqual(['a\ufffdb'])
})

test('what comes between two datums belongs to neither', () => {
  const output = new OutputLines('stderr', new SystemClock())
  const lines: string[] = []
  const begin = (): void =>
    output.begin(new OutputBudget(100, new StillClock()), {
      onLine: (line) => lines.push(line.text),
      onLeftOut: () => {},
    })
  output.push(Buffer.from('early'))
  begin()
  output.push(Buffer.from('one\n'))
  output.end()
  output.push(Buffer.from('late\nlater'))
  begin()
  output.push(Buffer.from('two'))
  output.end()
  output.end()
  expect(lines).toEqual(['one', 'two'])
})

test('an error of the reader of lines is thrown at the end, and not again', () => {
  const output = new OutputLines('stdout', new SystemClock())
  const begin = (onLine: () => void): void =>
    output.begin(new OutputBudget(100, new StillClock()), { onLine, onLeftOut: () => {} })
  begin(() => {
    throw new Error('no more')
  })
  output.push(Buffer.from('x\ny'))
  expect(() => output.end()).toThrow('no more')
  begin(() => {})
  output.push(Buffer.from('x\ny'))
  output.end()
})
