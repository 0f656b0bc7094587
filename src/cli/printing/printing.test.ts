import { create } from '@bufbuild/protobuf'
import { DurationSchema, TimestampSchema } from '@bufbuild/protobuf/wkt'
import { Writable } from 'node:stream'
import { expect, test } from 'vitest'
import { StatsSchema } from '../../gen/pachyderm_pb.ts'
import { FileInfoSchema } from '../../gen/pfs_pb.ts'
import {
  CreatePipelineRequestSchema,
  InputSchema,
  JobInfoSchema,
  JobState,
  PipelineInfoSchema,
} from '../../gen/pps_pb.ts'
import { Output } from '../../base/output.ts'
import { rawLine, rawText } from './json.ts'
import { shortMessageText } from './messages.ts'
import { inputShorthand, inputText, parallelismText, transformText } from './specs.ts'
import { denseTable, plainTable, Table, tableText } from './table.ts'
import { statsText } from './stats-text.ts'
import { durationText, goDurationText, spanText } from './times.ts'
import { visible } from './visible.ts'

test('spans of time are told in words, hours rounded to the nearest', () => {
  const hour = 3600
  const spans: readonly (readonly [seconds: number, text: string])[] = [
    [0.9, 'Less than a second'],
    [1.9, '1 second'],
    [59.9, '59 seconds'],
    [60, 'About a minute'],
    [119, 'About a minute'],
    [120, '2 minutes'],
    [45 * 60 + 59, '45 minutes'],
    [46 * 60, 'About an hour'],
    [1.5 * hour - 1, 'About an hour'],
    [1.5 * hour, '2 hours'],
    [47.4 * hour, '47 hours'],
    [47.5 * hour, '2 days'],
    [13.9 * 24 * hour, '13 days'],
    [14 * 24 * hour, '2 weeks'],
    [60 * 24 * hour, '2 months'],
    [729 * 24 * hour, '24 months'],
    [730 * 24 * hour, '2 years'],
  ]
  for (const [seconds, text] of spans) expect([seconds, spanText(seconds)]).toEqual([seconds, text])
})

function duration(
  seconds: bigint,
  nanos: number,
): ReturnType<typeof create<typeof DurationSchema>> {
  return create(DurationSchema, { seconds, nanos })
}

test('durations are written as Go does', () => {
  expect(goDurationText(undefined)).toBe('0s')
  expect(goDurationText(duration(0n, 15))).toBe('15ns')
  expect(goDurationText(duration(0n, 1500))).toBe('1.5µs')
  expect(goDurationText(duration(0n, 20_000_000))).toBe('20ms')
  expect(goDurationText(duration(1n, 200_000_000))).toBe('1.2s')
  expect(goDurationText(duration(60n, 0))).toBe('1m0s')
  expect(goDurationText(duration(3723n, 50_000_000))).toBe('1h2m3.05s')
  expect(goDurationText(duration(-1n, -500_000_000))).toBe('-1.5s')
  expect(durationText(duration(1n, 999_999_999))).toBe('1 second')
})

test('every cell of a table is padded, at least three blanks wide of the next', () => {
  const rows = [
    ['NAME', 'SIZE'],
    ['a-name-of-twenty-char', '1B'],
    ['日本', '2B'],
  ]
  expect(tableText(rows, plainTable)).toBe(
    'NAME                    SIZE                \n' +
      'a-name-of-twenty-char   1B                  \n' +
      '日本                      2B                  \n',
  )
  expect(
    tableText(
      [
        ['ID', 'STATE'],
        ['1', 'ok'],
      ],
      denseTable,
    ),
  ).toBe('ID STATE \n1  ok    \n')
})

test('a table that comes in parts is even when it is short, and printed as it comes when it is long', async () => {
  const chunks: string[] = []
  const table = new Table({ write: async (text) => void chunks.push(String(text)) }, denseTable)
  table.add('FILE', 'SIZE')
  table.add('/a', '1B')
  await table.flushLong()
  table.add('/longer', '2B')
  await table.flushLong()
  expect(chunks).toEqual([])
  await table.flush()
  expect(chunks).toEqual(['FILE    SIZE \n/a      1B   \n/longer 2B   \n'])
  for (let count = 0; count < 1000; count += 1) table.add('/b', '3B')
  await table.flushLong()
  expect(chunks[1]).toBe('/b      3B   \n'.repeat(1000))
})

test('a name neither breaks the line of a table nor commands the terminal', () => {
  const cells = ['new\nline', 'clear\u001b[2J', 'bell\u0007', '\u009b', 'esc\u001b[31mred']
  expect(tableText([cells], denseTable)).toBe(
    'new\\nline clear\\x1b[2J bell\\x07 \\x9b esc\\x1b[31mred \n',
  )
})

test('colours take no place in a table', () => {
  expect(
    tableText(
      [
        ['STATE', 'X'],
        ['\u001b[32mok\u001b[0m', 'y'],
      ],
      denseTable,
    ),
  ).toBe('STATE X \n\u001b[32mok\u001b[0m    y \n')
})

test('raw JSON is that of jsonpb: names, counts as texts, no zeros, escapes for HTML', () => {
  const info = create(JobInfoSchema, {
    job: { id: 'a' },
    transform: { cmd: ['a < b', 'c & d'], env: { z: '1', a: '2' } },
    state: JobState.JOB_SUCCESS,
    restart: 0n,
    dataTotal: 12n,
    started: create(TimestampSchema, { seconds: 1_500_000_000n }),
    finished: create(TimestampSchema, { seconds: 1_500_000_000n, nanos: 12_345_000 }),
    stats: { downloadTime: duration(60n, 0), uploadTime: duration(0n, 1) },
    resourceSpec: { cpu: 0.1 },
    egress: {},
  })
  expect(rawText(JobInfoSchema, info)).toBe(`{
  "job": {
    "id": "a"
  },
  "transform": {
    "cmd": [
      "a \\u003c b",
      "c \\u0026 d"
    ],
    "env": {
      "a": "2",
      "z": "1"
    }
  },
  "egress": {

  },
  "started": "2017-07-14T02:40:00.000Z",
  "finished": "2017-07-14T02:40:00.012345Z",
  "state": "JOB_SUCCESS",
  "dataTotal": "12",
  "stats": {
    "downloadTime": "60.000s",
    "uploadTime": "0.000000001s"
  },
  "resourceSpec": {
    "cpu": 0.1
  }
}`)
})

test('raw JSON has bytes in base64, keys of maps as texts, and empty messages on three lines', () => {
  const file = create(FileInfoSchema, { hash: Uint8Array.of(255, 0), children: ['{}'] })
  expect(rawLine(FileInfoSchema, file)).toBe('{"children":["{}"],"hash":"/wA="}')
  expect(rawText(FileInfoSchema, create(FileInfoSchema))).toBe('{\n\n}')
  expect(rawText(FileInfoSchema, create(FileInfoSchema, { children: ['{}'] }))).toContain('"{}"\n')
  const pipeline = create(PipelineInfoSchema, { jobCounts: { 3: 1, 10: 2 } })
  expect(rawLine(PipelineInfoSchema, pipeline)).toBe('{"jobCounts":{"3":1,"10":2}}')
})

test('inputs are told in one line', () => {
  const a = { atom: { repo: 'a', glob: '/*' } }
  const tick = { cron: { name: 'tick', spec: '@daily' } }
  const input = create(InputSchema, { cross: [a, { union: [tick, a] }] })
  expect(inputShorthand(input)).toBe('(a:/* ⨯ (tick:@daily ∪ a:/*))')
  expect(inputShorthand(undefined)).toBe('none')
})

test('parts of specs have the names and values of Go structs', () => {
  const input = create(InputSchema, { atom: { fromCommit: '<a>', lazy: true } })
  expect(inputText(input)).toBe(
    '{\n  "atom": {\n    "lazy": true,\n    "from_commit": "\\u003ca\\u003e"\n  }\n}',
  )
  const { transform, parallelismSpec } = create(CreatePipelineRequestSchema, {
    transform: { stdin: ['a > b && c'], acceptReturnCode: [3n] },
    parallelismSpec: { coefficient: 0.5 },
  })
  expect(transformText(transform)).toBe(
    '{\n  "stdin": [\n    "a > b \\u0026\\u0026 c"\n  ],\n  "accept_return_code": [\n    3\n  ]\n}',
  )
  expect(parallelismText(parallelismSpec)).toBe('coefficient:0.5 ')
  expect(parallelismText(undefined)).toBe('<nil>')
})

test('a message is one line, and nothing in it commands the terminal', () => {
  expect(visible('a\nb\tc\r')).toBe(String.raw`a\nb\tc\r`)
  expect(visible('\u001b[31mred\u009b0m\0')).toBe(String.raw`\x1b[31mred\x9b0m\x00`)
  expect(visible('abc\u202edef\u2066\u2028')).toBe(String.raw`abc\u202edef\u2066\u2028`)
  expect(visible('naïve — 日本 👍')).toBe('naïve — 日本 👍')
})

test('in a table, a message is the beginning of its first line', () => {
  expect(shortMessageText('')).toBe('')
  expect(shortMessageText('third quarter\n')).toBe('third quarter')
  expect(shortMessageText('third quarter\n\nwith corrections')).toBe('third quarter…')
  expect(shortMessageText('👍'.repeat(50))).toBe('👍'.repeat(50))
  expect(shortMessageText('x'.repeat(51))).toBe(`${'x'.repeat(49)}…`)
  expect(shortMessageText('\u001b[2J')).toBe(String.raw`\x1b[2J`)
})

function spreadUpTo(max: number) {
  return {
    count: 3n,
    mean: max / 2,
    stddev: max / 10,
    min: 0,
    fifthPercentile: max / 10,
    median: max / 2,
    ninetyFifthPercentile: max,
    ninetyNinthPercentile: max,
    max,
  }
}

test('statistics are a table of what there is, in units that people read', () => {
  const stats = create(StatsSchema, {
    datumsProcessed: 3n,
    datumsSkipped: 1n,
    jobCounts: { [JobState.JOB_SUCCESS]: 2n, [JobState.JOB_FAILURE]: 1n },
    jobSeconds: spreadUpTo(4000),
    datums: {
      downloadSeconds: { count: 0n },
      processSeconds: spreadUpTo(1.23456),
      uploadBytes: spreadUpTo(3000),
    },
  })
  expect(statsText(stats, new Output(new Writable()))).toBe(
    [
      'Jobs: 2 success, 1 failure',
      'Datums: 3 processed, 1 skipped, 0 failed',
      '           COUNT   MEAN       STDDEV   MIN   5%      MEDIAN     95%       99%       MAX       ',
      'Job        3       33m20s     6m40s    0s    6m40s   33m20s     1h6m40s   1h6m40s   1h6m40s   ',
      'Process    3       617ms      123ms    0s    123ms   617ms      1.23s     1.23s     1.23s     ',
      'Uploaded   3       1.465KiB   300B     0B    300B    1.465KiB   2.93KiB   2.93KiB   2.93KiB   ',
      '',
    ].join('\n'),
  )
})
