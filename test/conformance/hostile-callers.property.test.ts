import { create, type DescMethod, toBinary } from '@bufbuild/protobuf'
import * as fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Code } from '../../src/base/grpc-wire.ts'
import { methodPath } from '../../src/client/client.ts'
import { RpcError } from '../../src/client/rpc-error.ts'
import { commitFiles, commitOf } from '../harness/files.ts'
import { hostileMessage } from '../harness/hostile-messages.ts'
import { everyMethod } from '../harness/methods.ts'
import { TestPachd } from '../harness/test-pachd.ts'

/** Enough for an answer; calls that wait end with it. */
const timeoutMs = 300
const runCount = 12

let pachd: TestPachd
beforeAll(async () => {
  pachd = await TestPachd.start()
})
afterAll(async () => {
  await pachd[Symbol.asyncDispose]()
})

/** Something to hit upon; made again when a caller has deleted it. */
async function furnish(): Promise<void> {
  const repo = { name: 'r' }
  const { repoInfo } = await pachd.pfs.listRepo({})
  if (!repoInfo.some((info) => info.repo?.name === repo.name)) {
    await pachd.pfs.createRepo({ repo })
  }
  const { branchInfo } = await pachd.pfs.listBranch({ repo })
  if (!branchInfo.some(({ name }) => name === 'master')) {
    await commitFiles(pachd, { repo: repo.name, branch: 'master' }, { a: '1', 'd/b': '2' })
  }
  const fork = { parent: commitOf(repo.name, 'master'), branch: 'open' }
  await pachd.pfs.startCommit(fork).catch(() => undefined) // its parent may be open
}

async function call(method: DescMethod, requests: readonly Uint8Array[]): Promise<void> {
  const path = methodPath(method)
  const [first = new Uint8Array()] = requests
  if (method.methodKind === 'unary') {
    await pachd.transport.unary(path, first, { timeoutMs })
  } else if (method.methodKind === 'server_streaming') {
    for await (const message of pachd.transport.serverStream(path, first, { timeoutMs })) {
      await message.bytes()
    }
  } else {
    await pachd.transport.clientStream(path, each(requests), { timeoutMs })
  }
}

async function* each(requests: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  await Promise.resolve()
  yield* requests
}

/** How a call ended: `ok`, or the error's code and kind. */
async function outcome(method: DescMethod, requests: readonly Uint8Array[]): Promise<unknown> {
  try {
    await call(method, requests)
    return 'ok'
  } catch (error) {
    if (!(error instanceof RpcError)) throw error
    return error.code === Code.unknown && error.kind === undefined ? error.message : error.code
  }
}

describe('whatever a caller sends, the server answers and takes no harm', () => {
  test.each(everyMethod.map((method) => ({ path: methodPath(method), method })))(
    '$path',
    async ({ method }) => {
      const linesBefore = pachd.log.length
      const messages = fc.array(hostileMessage(method.input), { minLength: 1, maxLength: 3 })
      await fc.assert(
        fc.asyncProperty(messages, async (requests) => {
          await furnish()
          const encoded = requests.map((request) => toBinary(method.input, request))
          expect(await outcome(method, encoded)).not.toEqual(expect.stringContaining('internal'))
          const faults = pachd.log.slice(linesBefore).filter((line) => line.includes(' error '))
          expect(faults).toEqual([])
        }),
        { numRuns: runCount, examples: [[[create(method.input)]]] },
      )
      await pachd.health.health({})
    },
    120_000,
  )
})
