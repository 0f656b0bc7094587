import * as fc from 'fast-check'
import { expect, test } from 'vitest'

import { SystemClock } from '../../base/clock.ts'
import { lineBytesMax, OutputBudget, OutputLines } from './output-lines.ts'

const marker = '0123456789abcdef0123456789abcdef'

/** Time passes when a test says so. */
class StillClock extends SystemClock {
  elapsedMs = 0

  override monotonicMs(): number {
    return this.elapsedMs
  }
}

async function received(
  chunks: readonly Buffer[],
  bytesMax: number,
): Promise<{ readonly lines: readonly string[]; readonly leftOutCount: number }> {
  const lines: string[] = []
  let leftOutCount = 0
  const clock = new StillClock()
  const output = new OutputLines('stdout', clock)
  const end = output.read(marker, new OutputBudget(bytesMax, clock), {
    onLine: (line) => lines.push(line.text),
    onLeftOut: (lineCount) => (leftOutCount += lineCount),
  })
  for (const chunk of chunks) output.push(chunk)
  await end
  return { lines, leftOutCount }
}

async function linesOf(chunks: readonly Buffer[]): Promise<readonly string[]> {
  return (await received(chunks, 1e9)).lines
}

function cut(bytes: Buffer, places: readonly number[]): readonly Buffer[] {
  const ends = [...new Set(places.map((place) => place % (bytes.length + 1)))].toSorted(
    (left, right) => left - right,
  )
  return [0, ...ends].map((start, index) => bytes.subarray(start, ends[index] ?? bytes.length))
}

test('lines are the same however the stream was cut, and an unterminated last one is kept', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.string({ unit: 'grapheme' }).map((text) => text.replaceAll('\n', '%'))),
      fc.boolean(),
      fc.array(fc.nat()),
      async (lines, isTerminated, places) => {
        const text = lines.map((line) => `${line}\n`).join('')
        const sent = isTerminated ? text : text.slice(0, -1)
        const expected = sent === '' ? [] : sent.replace(/\n$/, '').split('\n')
        const bytes = Buffer.from(`${sent}${marker}\n`)
        expect(await linesOf(cut(bytes, places))).toEqual(expected)
      },
    ),
  )
})

test('a long line is cut between characters, and nothing of it is lost', async () => {
  const text = 'ä€😀'.repeat(lineBytesMax / 4)
  const whole = Buffer.from(`${text}\n${marker}\n`)
  for (const chunks of [[whole], cut(whole, [1, 1000, lineBytesMax, lineBytesMax + 33])]) {
    const lines = await linesOf(chunks)
    expect(lines.length).toBeGreaterThan(1)
    expect(lines.every((line) => Buffer.byteLength(line) <= lineBytesMax)).toBe(true)
    expect(lines.join('')).toBe(text)
  }
})

test('output without any newline is handed on in bounded memory, up to the marker', async () => {
  const chunks = Array.from({ length: 40 }, () => Buffer.alloc(10_000, 'x'))
  const lines = await linesOf([...chunks, Buffer.from(`${marker}\n`)])
  expect(lines.join('')).toBe('x'.repeat(400_000))
})

test('of what exceeds the budget the last lines are handed on, whatever the cuts', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.nat({ max: 200_000 }),
      fc.boolean(),
      fc.array(fc.nat(), { maxLength: 20 }),
      async (lineCount, isTerminated, places) => {
        const sent = Array.from({ length: lineCount }, (_, index) => `line ${index}`)
        sent.push('the error')
        const bytes = Buffer.from(`${sent.join('\n')}${isTerminated ? '\n' : ''}${marker}\n`)
        const { lines, leftOutCount } = await received(cut(bytes, places), 1000)
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

test('the end of a line that is far too long is kept', async () => {
  const text = `${'x'.repeat(3_000_000)}the end`
  const { lines, leftOutCount } = await received([Buffer.from(`a\n${text}\n${marker}\n`)], 1)
  expect(lines[0]).toBe('a')
  expect(lines.slice(1).join('').length).toBe(512 * 1024 - 1)
  expect(lines.at(-1)).toMatch(/xxthe end$/)
  expect(leftOutCount).toBe(1)
})

test('after a while lines are handed on at once again', async () => {
  const clock = new StillClock()
  const lines: string[] = []
  const output = new OutputLines('stdout', clock)
  const end = output.read(marker, new OutputBudget(1, clock), {
    onLine: ({ text }) => lines.push(text),
    onLeftOut: () => {},
  })
  output.push(Buffer.from('one\ntwo\nthr'))
  expect(lines).toEqual(['one'])
  clock.elapsedMs = 10_000
  output.push(Buffer.from('ee\n'))
  expect(lines).toEqual(['one', 'two'])
  output.push(Buffer.from(`four${marker}`))
  clock.elapsedMs = 20_000
  output.push(Buffer.from('\n'))
  await end
  expect(lines).toEqual(['one', 'two', 'three', 'four'])
})

test('very much output of very short lines costs no more than its bytes', async () => {
  const block = Buffer.from('y\n'.repeat(32 * 1024))
  const blocks = Array.from({ length: 1000 }, () => block)
  let receivedCount = 0
  const clock = new StillClock()
  const output = new OutputLines('stdout', clock)
  const end = output.read(marker, new OutputBudget(1024 * 1024, clock), {
    onLine: () => (receivedCount += 1),
    onLeftOut: () => {},
  })
  for (const bytes of [...blocks, Buffer.from(`${marker}\n`)]) output.push(bytes)
  await end
  expect(receivedCount).toBeLessThan(100_000)
})

test('bytes that are not UTF-8 become replacement characters', async () => {
  const lines = await linesOf([Buffer.from([0x61, 0xff, 0x62, 0x0a]), Buffer.from(`${marker}\n`)])
  expect(lines).toEqual(['a\ufffdb'])
})

test('what comes between two datums belongs to neither', async () => {
  const output = new OutputLines('stderr', new SystemClock())
  const lines: string[] = []
  const read = (nonce: string): Promise<void> =>
    output.read(nonce, new OutputBudget(100, new StillClock()), {
      onLine: (line) => lines.push(line.text),
      onLeftOut: () => {},
    })
  const first = read('aa')
  output.push(Buffer.from('one\naa\nlate\n'))
  await first
  output.push(Buffer.from('later'))
  const second = read('bb')
  output.push(Buffer.from('two\nbb\n'))
  await second
  expect(lines).toEqual(['one', 'two'])
})

test('an error of the reader of lines rejects', async () => {
  const output = new OutputLines('stdout', new SystemClock())
  const end = output.read(marker, new OutputBudget(100, new StillClock()), {
    onLine: () => {
      throw new Error('no more')
    },
    onLeftOut: () => {},
  })
  output.push(Buffer.from(`x\n${marker}\n`))
  await expect(end).rejects.toThrow('no more')
})
