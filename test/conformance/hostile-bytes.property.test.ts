import { type DescMethod, toBinary } from '@bufbuild/protobuf'
import * as fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { concatBytes } from '../../src/base/bytes.ts'
import { methodPath } from '../../src/client/client.ts'
import { callOutcome } from '../harness/call-outcome.ts'
import { commitFiles } from '../harness/files.ts'
import { hostileMessage } from '../harness/hostile-messages.ts'
import { everyMethod } from '../harness/methods.ts'
import { TestPachd } from '../harness/test-pachd.ts'

/** Enough for an answer; calls that wait end with it. */
const timeoutMs = 100
const runCount = 6

let pachd: TestPachd
beforeAll(async () => {
  pachd = await TestPachd.start()
  await pachd.pfs.createRepo({ repo: { name: 'r' } })
  await commitFiles(pachd, { repo: 'r', branch: 'master' }, { a: '1', 'd/b': '2' })
})
afterAll(async () => {
  await pachd[Symbol.asyncDispose]()
})

/** A message that is cut, has bytes exchanged, or is followed by others. */
function damaged(method: DescMethod): fc.Arbitrary<Uint8Array> {
  const bytes = hostileMessage(method.input).map((message) => toBinary(method.input, message))
  const noise = fc.uint8Array({ maxLength: 20 })
  const place = fc.nat(10_000)
  const cut = fc.tuple(bytes, place).map(([all, at]) => all.subarray(0, at % (all.length + 1)))
  const changed = fc.tuple(bytes, place, fc.nat(255)).map(([all, at, byte]) => {
    const copy = all.slice()
    if (copy.length > 0) copy[at % copy.length] = byte
    return copy
  })
  const inserted = fc.tuple(bytes, place, noise).map(([all, at, more]) => {
    const split = at % (all.length + 1)
    return concatBytes([all.subarray(0, split), more, all.subarray(split)])
  })
  return fc.oneof(cut, changed, inserted, noise)
}

async function expectUnharmed(linesBefore: number): Promise<void> {
  await pachd.health.health({})
  expect(pachd.log.slice(linesBefore).filter((line) => line.includes(' error '))).toEqual([])
}

describe('bytes that are nearly a message, or none at all', () => {
  test.each(everyMethod.map((method) => ({ path: methodPath(method), method })))(
    '$path',
    async ({ method }) => {
      const linesBefore = pachd.log.length
      await fc.assert(
        fc.asyncProperty(damaged(method), async (bytes) => {
          expect(await callOutcome(pachd.transport, method, bytes, timeoutMs)).not.toContain(
            'internal error',
          )
        }),
        { numRuns: runCount },
      )
      await expectUnharmed(linesBefore)
    },
    60_000,
  )
})

/** A message in a message in a message: each is field `number` of the one around it. */
function nested(number: number, depth: number): Uint8Array {
  const prefixes: Uint8Array[] = []
  let size = 0
  for (let level = 0; level < depth; level += 1) {
    const length: number[] = []
    for (let rest = size; ; rest = Math.floor(rest / 128)) {
      length.push(rest < 128 ? rest : (rest % 128) + 128)
      if (rest < 128) break
    }
    prefixes.push(Uint8Array.of(number * 8 + 2, ...length))
    size += 1 + length.length
  }
  return concatBytes(prefixes.toReversed())
}

/** More than any stack has. */
const levels = 50_000

describe('messages of 50,000 levels', () => {
  test.each(everyMethod.map((method) => ({ path: methodPath(method), method })))(
    '$path',
    async ({ method }) => {
      const linesBefore = pachd.log.length
      // Groups that nobody closes, of a field that nobody knows; and any field that could be nested.
      const inputs: Uint8Array[] = [new Uint8Array(levels).fill(15 * 8 + 3)]
      for (const { number } of method.input.fields.filter(
        ({ fieldKind }) => fieldKind !== 'scalar',
      )) {
        if (number < 16) inputs.push(nested(number, levels))
      }
      for (const bytes of inputs) {
        expect(await callOutcome(pachd.transport, method, bytes, timeoutMs)).not.toContain(
          'internal error',
        )
      }
      await expectUnharmed(linesBefore)
    },
    60_000,
  )
})
