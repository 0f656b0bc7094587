import { expect, test } from 'vitest'
import { DiskFullError } from '../../base/errors.ts'
import type { LogFacts } from '../log.ts'
import { diskFullReport } from './disk-full-report.ts'

test('a full disk is told once in ten minutes, with where, why and how often', () => {
  const told: (LogFacts | undefined)[] = []
  let nowMs = 1000
  const report = diskFullReport(
    { warning: (text, facts) => told.push(text.startsWith('the disk is full') ? facts : {}) },
    { monotonicMs: () => nowMs },
  )
  const error = new DiskFullError('/data/scratch', { cause: new Error('ENOSPC: no space left') })
  for (let count = 0; count < 100; count += 1) report(error)
  expect(told).toEqual([
    { directory: '/data/scratch', refused: 1, reason: 'ENOSPC: no space left' },
  ])
  nowMs += 10 * 60_000
  report(new DiskFullError('/data'))
  expect(told.at(-1)).toEqual({ directory: '/data', refused: 100, reason: undefined })
  expect(told).toHaveLength(2)
})

test('who is refused hears what frees space', () => {
  const lacksFiles = new DiskFullError('/data', { lacksFiles: true })
  expect(lacksFiles.message).toContain('can hold no more files')
  const told: string[] = []
  diskFullReport({ warning: (text) => told.push(text) }, { monotonicMs: () => 0 })(lacksFiles)
  expect(told.join()).toContain('can hold no more files')
  expect(new DiskFullError('/data').message).toContain('run pachctl garbage-collect')
})
