import { expect, test } from 'vitest'
import { Backlog, type BacklogCall } from './backlog.ts'

const mib = 1024 * 1024

function stage(): {
  readonly backlog: Backlog
  readonly call: (name: string, connection: object) => BacklogCall
  /** Who was given up, in that order. */
  readonly ended: string[]
} {
  const backlog = new Backlog(10 * mib)
  const ended: string[] = []
  const call = (name: string, connection: object): BacklogCall => {
    const one: BacklogCall = {
      connection,
      abandon: ({ message }) => {
        ended.push(name)
        expect(message).toContain('more than 10 MiB of requests were sent that could not be read')
        backlog.drop(one)
      },
    }
    return one
  }
  return { backlog, call, ended }
}

test('past the bound, the connection with most of it loses the calls with most of that', () => {
  const { backlog, call, ended } = stage()
  const hog = {}
  const honest = call('honest', {})
  backlog.add(honest, 3 * mib)
  for (const [at, size] of [1, 2, 1, 2, 1].entries()) {
    backlog.add(call(`hog ${at}`, hog), size * mib)
  }
  expect([ended, backlog.bytes]).toEqual([[], 10 * mib])
  backlog.add(honest, 1)
  expect(ended).toEqual(['hog 1'])
  backlog.add(call('hog 5', hog), 8 * mib)
  expect(ended).toEqual(['hog 1', 'hog 5'])
  expect(backlog.bytes).toBe(8 * mib + 1)
})

test('what is read, and what has ended, counts no more', () => {
  const { backlog, call, ended } = stage()
  const one = call('one', {})
  for (let count = 0; count < 100; count += 1) {
    backlog.add(one, mib)
    backlog.add(one, -mib)
  }
  const other = call('other', {})
  backlog.add(other, 9 * mib)
  backlog.drop(other)
  backlog.drop(other)
  expect([backlog.bytes, ended]).toEqual([0, []])
})
