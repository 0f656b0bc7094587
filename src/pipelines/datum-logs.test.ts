import { expect, test } from 'vitest'
import { DatumLog, decodeLog, encodeLog } from './datum-logs.ts'
import type { LogLine } from './executor.ts'

function line(text: string, at = 1): LogLine {
  return { at, stream: 'stdout', text }
}

test('few lines are kept as they came, and come back as they were stored', () => {
  const log = new DatumLog()
  const lines = [line('one'), line(''), line('drei ☃ "%s"')]
  for (const one of lines) log.add(one)
  expect(log.lines()).toEqual(lines)
  for (const stored of [lines, Array.from({ length: 1000 }, (_, at) => line(`line ${at}`, at))]) {
    expect(decodeLog(encodeLog(stored))).toEqual(stored)
  }
})

test('of very many lines the first and the last are kept, and how many were not', () => {
  const log = new DatumLog()
  const lineCount = 100_000
  for (let at = 0; at < lineCount; at += 1) log.add(line(`progress ${at}`))
  log.add(line('the last words'))
  const kept = log.lines()
  expect(kept[0]?.text).toBe('progress 0')
  expect(kept.at(-1)?.text).toBe('the last words')
  const gap = kept.findIndex(({ text }) => text.includes('were not kept'))
  const dropped = Number(/^\((\d+) lines/.exec(kept[gap]?.text ?? '')?.[1])
  expect(kept.length - 1 + dropped).toBe(lineCount + 1)
  expect(kept[gap + 1]?.text).toBe(`progress ${gap + dropped}`)
  const bytes = kept.reduce((sum, { text }) => sum + text.length, 0)
  expect(bytes).toBeLessThan(1024 * 1024)
})

test('what one stream brings pushes nothing of the other out, nor does what never came', () => {
  const log = new DatumLog()
  log.add(line('begin'))
  log.add({ at: 2, stream: 'stderr', text: 'the error' })
  log.leaveOut(7)
  log.add({ at: 3, stream: 'stderr', text: 'its cause' })
  for (let at = 4; at < 100_000; at += 1) log.add(line(`progress ${at}`, at))
  const texts = log.lines().map(({ text }) => text)
  expect(texts.slice(0, 2)).toEqual(['begin', 'the error'])
  expect(texts[3]).toBe('its cause')
  const dropped = Number(/^\((\d+) lines/.exec(texts[2] ?? '')?.[1])
  expect(texts.length - 1 + dropped).toBe(100_000 - 4 + 3 + 7)
})
