import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Instant } from '../../base/clock.ts'
import { isAmbiguous, parseSchedule } from './schedule.ts'

const micros = 1000

function at(text: string): Instant {
  return Date.parse(text) * micros
}

function shown(time: Instant | undefined): string {
  return time === undefined ? 'never' : new Date(time / micros).toISOString().replace('.000', '')
}

/** The next ticks after a time. */
async function ticks(spec: string, from: string, count = 1, timeZone = ''): Promise<string[]> {
  const schedule = await parseSchedule(spec, timeZone)
  const found: string[] = []
  for (let time: Instant | undefined = at(from); found.length < count;) {
    time = schedule.after(time)
    found.push(shown(time))
    if (time === undefined) break
  }
  return found
}

describe('six fields begin with seconds, five have no day of week, and @crontab begins with minutes', () => {
  test.each([
    ['* * * * * *', ['2026-01-01T00:00:01Z', '2026-01-01T00:00:02Z']],
    ['* * * * *', ['2026-01-01T00:00:01Z', '2026-01-01T00:00:02Z']],
    ['*/10 * * * *', ['2026-01-01T00:00:10Z', '2026-01-01T00:00:20Z']],
    ['0 9 * * 1-5', ['2026-01-01T00:09:00Z', '2026-01-01T01:09:00Z']],
    ['0 30 9 * * MON-FRI', ['2026-01-01T09:30:00Z', '2026-01-02T09:30:00Z']],
    ['5/15 0 0 1 1 ?', ['2026-01-01T00:00:05Z', '2026-01-01T00:00:20Z']],
    ['@crontab */10 * * * *', ['2026-01-01T00:10:00Z', '2026-01-01T00:20:00Z']],
    ['@crontab 0 9 * * 1-5', ['2026-01-01T09:00:00Z', '2026-01-02T09:00:00Z']],
    [' @crontab  0 0 * *  7 ', ['2026-01-04T00:00:00Z', '2026-01-11T00:00:00Z']],
    ['@yearly', ['2027-01-01T00:00:00Z', '2028-01-01T00:00:00Z']],
    ['@annually', ['2027-01-01T00:00:00Z', '2028-01-01T00:00:00Z']],
    ['@monthly', ['2026-02-01T00:00:00Z', '2026-03-01T00:00:00Z']],
    ['@weekly', ['2026-01-04T00:00:00Z', '2026-01-11T00:00:00Z']],
    ['@daily', ['2026-01-02T00:00:00Z', '2026-01-03T00:00:00Z']],
    ['@midnight', ['2026-01-02T00:00:00Z', '2026-01-03T00:00:00Z']],
    ['@hourly', ['2026-01-01T01:00:00Z', '2026-01-01T02:00:00Z']],
    ['@every 1h30m', ['2026-01-01T01:30:00Z', '2026-01-01T03:00:00Z']],
    ['@every 10ms', ['2026-01-01T00:00:01Z', '2026-01-01T00:00:02Z']],
  ])('%s', async (spec, expected) => {
    expect(await ticks(spec, '2026-01-01T00:00:00Z', 2)).toEqual(expected)
  })
})

test('a day fits both of its fields when one begins with a star, else one of them', async () => {
  // The first Monday of 2026 is the 5th.
  expect(await ticks('0 0 0 13 * MON', '2026-01-01T00:00:00Z', 3)).toEqual([
    '2026-01-05T00:00:00Z',
    '2026-01-12T00:00:00Z',
    '2026-01-13T00:00:00Z',
  ])
  expect(await ticks('0 0 0 */2 * MON', '2026-01-01T00:00:00Z', 2)).toEqual([
    '2026-01-05T00:00:00Z',
    '2026-01-19T00:00:00Z',
  ])
})

test('fields are read in the time zone, through changes of its clocks', async () => {
  const zone = 'Europe/Berlin'
  // Clocks go from 02:00 to 03:00 on 29 March, and from 03:00 to 02:00 on 25 October 2026.
  expect(await ticks('0 30 2 * * *', '2026-03-28T00:00:00Z', 3, zone)).toEqual([
    '2026-03-28T01:30:00Z',
    '2026-03-29T01:00:00Z',
    '2026-03-30T00:30:00Z',
  ])
  expect(await ticks('0 30 2 * * *', '2026-10-24T12:00:00Z', 2, zone)).toEqual([
    '2026-10-25T00:30:00Z',
    '2026-10-26T01:30:00Z',
  ])
  expect(await ticks('0 30 * * * *', '2026-10-25T00:00:00Z', 3, zone)).toEqual([
    '2026-10-25T00:30:00Z',
    '2026-10-25T01:30:00Z',
    '2026-10-25T02:30:00Z',
  ])
  expect(await ticks('@daily', '2026-07-01T00:00:00Z', 1, 'America/New_York')).toEqual([
    '2026-07-01T04:00:00Z',
  ])
})

describe('a spec is refused that', () => {
  test.each([
    ['bad', 'Expected 5 to 6 fields, found 1: bad'],
    ['', 'Expected 5 to 6 fields, found 0: '],
    ['* * * *', 'Expected 5 to 6 fields, found 4: * * * *'],
    ['* * * * * * *', 'Expected 5 to 6 fields, found 7'],
    ['2026-01-01T00:00:00', 'Expected 5 to 6 fields, found 1'],
    ['@crontab * * * * * *', 'Expected 5 fields after @crontab'],
    ['@noon', 'Unrecognized descriptor: @noon; there are @yearly'],
    ['@toString', 'Unrecognized descriptor: @toString'],
    ['@every', 'Failed to parse duration @every'],
    ['@every 1 h', 'Failed to parse duration'],
    ['@every -1h', 'Failed to parse duration'],
    ['60 * * * * *', 'a value for the second is out of range'],
    ['* * * 0 * *', 'makes no sense'],
    ['* * * * FOO *', 'makes no sense'],
    ['*/0 * * * * *', 'makes no sense'],
    ['9-1 * * * * *', 'makes no sense'],
    ['* '.repeat(600), 'too long'],
  ])('%s', async (spec, message) => {
    await expect(parseSchedule(spec, '')).rejects.toMatchObject({
      kind: 'invalid-argument',
      message: expect.stringContaining(message) as string,
    })
  })

  test('names a time zone that is not there', async () => {
    await expect(parseSchedule('@daily', 'Europe/Atlantis')).rejects.toThrow(
      'time_zone "Europe/Atlantis" is not known',
    )
    await expect(parseSchedule('@daily', 'x'.repeat(1000))).rejects.toThrow('is not known')
  })
})

test('a day that never comes is never', async () => {
  expect(await ticks('0 0 0 30 2 *', '2026-01-01T00:00:00Z')).toEqual(['never'])
})

test('only five fields without a mark surprise people', () => {
  expect(isAmbiguous('0 9 * * 1')).toBe(true)
  for (const spec of ['0 9 * * 1 *', '@crontab 0 9 * * 1', '@daily', '@every 1m']) {
    expect(isAmbiguous(spec)).toBe(false)
  }
})

test('the last tick within a time is the last of those that come one after the other', async () => {
  const specs = ['*/7 * * * * *', '0 */13 * * * *', '@every 11s', '@hourly', '15 30 2 * * *']
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...specs),
      fc.constantFrom('', 'Europe/Berlin'),
      fc.integer({ min: at('2026-10-24T00:00:00Z'), max: at('2026-10-26T00:00:00Z') }),
      fc.integer({ min: 0, max: 200_000_000 }),
      async (spec, zone, start, span) => {
        const schedule = await parseSchedule(spec, zone)
        const end = start + span
        let last: Instant | undefined
        for (let tick = schedule.after(start); tick !== undefined && tick <= end;) {
          expect(tick).toBeGreaterThan(start)
          expect(tick % 1_000_000).toBe(0)
          last = tick
          tick = schedule.after(tick)
        }
        expect(shown(schedule.lastWithin(start, end))).toBe(shown(last))
      },
    ),
    { numRuns: 100 },
  )
})
