import type { DescField, DescMethod } from '@bufbuild/protobuf'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { methodPath } from '../../src/client/client.ts'
import { TemporaryDirectory } from '../../src/testing/temporary-directory.ts'
import { callOutcome } from '../harness/call-outcome.ts'
import { ChildPachd } from '../harness/child-pachd.ts'
import { commitFiles } from '../harness/files.ts'
import { type FilledMessage, filledMessages } from '../harness/filled-messages.ts'
import { everyMethod } from '../harness/methods.ts'
import { TestClient } from '../harness/test-pachd.ts'

/** As large as a message may be, and all that it can hold for every call, by hand: FILLED_MIB=20 */
const givenMib = process.env['FILLED_MIB']
const sizeBytes = Number(givenMib ?? 1) * 1024 * 1024 - 64 * 1024
/** Else the fields of messages in messages are shown by one call only. */
const requests = new Map<DescMethod, readonly FilledMessage[]>()
const deep = new Set<DescField>()
for (const method of everyMethod) {
  requests.set(method, filledMessages(method.input, givenMib === undefined ? deep : new Set()))
}
/** More than any answer takes. */
const answerMs = 20_000
/** Calls that wait for what comes end with it. */
const waitingMs = 100
/**
 * What one call may take of a processor, however busy the machine is. Where nothing counts what is in a message,
 * 1 MiB of empty messages takes from 750 to 2,000 ms, each time: a call that takes longer once, as the first that
 * starts a thread does, is made again.
 */
const processorMsMax = 400
const triesMax = 3

let directory: TemporaryDirectory
let child: ChildPachd
let client: TestClient
beforeAll(async () => {
  directory = await TemporaryDirectory.create()
  child = new ChildPachd(['--root', directory.join('data'), '--address', '127.0.0.1:0'])
  client = new TestClient(await child.ready)
  await client.pfs.createRepo({ repo: { name: 'r' } })
  await commitFiles(client, { repo: 'r', branch: 'master' }, { a: '1', 'd/b': '2' })
})
afterAll(async () => {
  await client[Symbol.asyncDispose]()
  await child[Symbol.asyncDispose]()
  await directory[Symbol.asyncDispose]()
})

const waitsForMore: ReadonlySet<string> = new Set([
  'SubscribeCommit',
  'FlushCommit',
  'GetLogs',
  'Push',
])
const refusals =
  /has \d+ bytes|is there (?:at least |more than )?\d+ times|\d+ fields|not implemented yet/

describe('a message that one field fills costs little, whichever it is', () => {
  test.each(everyMethod.map((method) => ({ path: methodPath(method), method })))(
    '$path',
    async ({ method }) => {
      const complaints: string[] = []
      for (const filled of requests.get(method) ?? []) {
        const bytes = filled.bytes(sizeBytes)
        const waits = waitsForMore.has(method.name) && !filled.isOfMany
        let [ended, tookMs] = ['', Infinity]
        for (let tries = 0; tries < triesMax && tookMs > processorMsMax; tries += 1) {
          const before = await child.processorMs()
          const patienceMs = waits ? waitingMs : answerMs
          ended = await callOutcome(client.transport, method, bytes, patienceMs)
          tookMs = (await child.processorMs()) - before
        }
        const told = `${filled.name} took ${tookMs} ms and ended with ${ended.slice(0, 200)}`
        const isRefused = refusals.test(ended)
        if (tookMs > processorMsMax || ended.includes('internal error')) complaints.push(told)
        else if (filled.isOfMany && !isRefused) complaints.push(`${told}, and was not refused`)
      }
      expect(complaints).toEqual([])
      await client.version.getVersion({})
    },
    120_000,
  )
})
