import { PassThrough } from 'node:stream'
import { expect, test } from 'vitest'
import type { CommandContext } from '../command.ts'
import { Input } from '../input.ts'
import { runTransaction } from './transactions.ts'

/** Of which nothing is needed before the operations are read. */
function contextOf(file: string, input: Input): CommandContext {
  return { flags: { text: () => file }, input, out: new PassThrough() } as unknown as CommandContext
}

const mebibyte = new Uint8Array(1024 * 1024)

test('standard input that is no operations is read no further than these go', async () => {
  let pulledCount = 0
  const input = new Input(async function* () {
    for (;;) {
      pulledCount += 1
      yield mebibyte
    }
  })
  await expect(runTransaction(contextOf('-', input))).rejects.toThrow(
    'the standard input holds more than 64 MiB, which is more than operations take: name a file of JSON',
  )
  expect(pulledCount).toBe(65)
})

test('so is a file that has no end', async () => {
  const none = new Input(async function* () {})
  await expect(runTransaction(contextOf('/dev/zero', none))).rejects.toThrow(
    '/dev/zero holds more than 64 MiB',
  )
})
