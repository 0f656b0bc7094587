import { create } from '@bufbuild/protobuf'
import { timestampFromMs } from '@bufbuild/protobuf/wkt'
import { Writable } from 'node:stream'
import { expect, test } from 'vitest'

import { Output } from '../../base/output.ts'
import { JobInfoSchema } from '../../gen/pps_pb.ts'
import { HeldClock } from '../../testing/held-clock.ts'
import { jobText } from './job-text.ts'

test('a job says what its workers wait for: their turn, or what comes before', () => {
  const clock = new HeldClock()
  const nowMs = clock.now() / 1000
  const out = new Output(new Writable())
  const info = create(JobInfoSchema, {
    workerStatus: [
      { workerId: 'p-0', queueSize: 0n, started: timestampFromMs(nowMs - 120_000) },
      { workerId: 'p-1', queueSize: 1n },
      {
        workerId: 'p-2',
        queueSize: 1n,
        opening: 'pulling image a',
        openingSince: timestampFromMs(nowMs - 180_000),
      },
    ],
  })
  const lines = jobText(info, { out, clock }).split('\n')
  const lineOf = (worker: string): string => lines.find((line) => line.startsWith(worker)) ?? ''
  expect(lineOf('p-0')).toContain('2 minutes ago')
  expect(lineOf('p-1')).toContain('waits for its turn')
  expect(lineOf('p-2')).toContain('pulling image a (began 3 minutes ago)')
})
