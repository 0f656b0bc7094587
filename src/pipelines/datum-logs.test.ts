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
