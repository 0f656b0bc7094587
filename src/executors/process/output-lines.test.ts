import * as fc from 'fast-check'
import { expect, test } from 'vitest'

import { SystemClock } from '../../base/clock.ts'
import { lineBytesMax, OutputBudget, OutputLines } from './output-lines.ts'

const marker = '0123456789abcdef0123456789abcdef'

async function linesOf(chunks: readonly Buffer[], bytesMax = 1e9): Promise<readonly string[]> {
  const lines: string[] = []
  const output = new OutputLines('stdout', new SystemClock())
  const end = output.read(marker, new OutputBudget(bytesMax), (line) => lines.push(line.text))
  for (const chunk of chunks) output.push(chunk)
  await end
  return lines
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

test('what exceeds the budget is left out with one notice', async () => {
  const bytes = Buffer.from(`${'12345\n'.repeat(100)}${marker}\n`)
  const lines = await linesOf([bytes], 12)
  expect(lines).toEqual([
    '12345',
    '12345',
    '[the output of this datum beyond 12 bytes is not kept]',
  ])
})

test('bytes that are not UTF-8 become replacement characters', async () => {
  const lines = await linesOf([Buffer.from([0x61, 0xff, 0x62, 0x0a]), Buffer.from(`${marker}\n`)])
  expect(lines).toEqual(['a\ufffdb'])
})

test('what comes between two datums belongs to neither', async () => {
  const output = new OutputLines('stderr', new SystemClock())
  const lines: string[] = []
  const read = (nonce: string): Promise<void> =>
    output.read(nonce, new OutputBudget(100), (line) => lines.push(line.text))
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
  const end = output.read(marker, new OutputBudget(100), () => {
    throw new Error('no more')
  })
  output.push(Buffer.from(`x\n${marker}\n`))
  await expect(end).rejects.toThrow('no more')
})
