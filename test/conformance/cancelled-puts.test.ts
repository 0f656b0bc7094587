import { setImmediate as turn } from 'node:timers/promises'
import { create, toBinary } from '@bufbuild/protobuf'
import { expect, test } from 'vitest'
import { PutFilesRequestSchema } from '../../src/gen/pachyderm_pb.ts'
import { PutFileRequestSchema } from '../../src/gen/pfs_pb.ts'
import { freshRepo } from '../harness/expectations.ts'
import { commitOf, fileOf, putFile } from '../harness/files.ts'
import {
  callHeaders,
  endHeaders,
  frame,
  FrameType,
  greeting,
  grpcMessage,
  RawCaller,
} from '../harness/raw-http2.ts'
import { TestPachd } from '../harness/test-pachd.ts'

const uploadCount = 100

test('a put that its caller cancels midway stores nothing', async () => {
  await using pachd = await TestPachd.start()
  const repo = await freshRepo(pachd)
  const { id } = await pachd.pfs.startCommit({ parent: commitOf(repo, ''), branch: 'master' })
  const value = new Uint8Array(1000)
  for (let at = 0; at < uploadCount; at += 1) {
    const cancel = new AbortController()
    async function* half() {
      yield { file: fileOf(repo, id, `f${at}`), value }
      for (let turns = 0; turns < at % 10; turns += 1) await turn()
      yield { value }
      cancel.abort()
      await new Promise(() => undefined)
    }
    await expect(pachd.pfs.putFile(half(), { signal: cancel.signal })).rejects.toThrow(/cancel/i)
  }
  // Comes after whatever was still under way.
  await putFile(pachd, fileOf(repo, id, 'last'), 'whole')
  await pachd.pfs.finishCommit({ commit: commitOf(repo, id) })
  const { fileInfo } = await pachd.pfs.listFile({ file: fileOf(repo, id, '/') })
  expect(fileInfo.map(({ file }) => file?.path)).toEqual(['/last'])
})

/** As much as fits the window, whatever has been told of larger ones. */
const pieceBytes = 30_000

test('uploads whose connection is lost midway store nothing, in bulk or one by one', async () => {
  await using pachd = await TestPachd.start()
  const repo = await freshRepo(pachd)
  const { id } = await pachd.pfs.startCommit({ parent: commitOf(repo, ''), branch: 'master' })
  const value = new Uint8Array(100_000)
  const put = { file: fileOf(repo, id, 'put'), value }
  const bulk = {
    commit: commitOf(repo, id),
    parts: [
      { path: 'whole', value },
      { path: 'half', value, more: true },
    ],
  }
  const starts = [
    ['/pfs.API/PutFile', toBinary(PutFileRequestSchema, create(PutFileRequestSchema, put))],
    [
      '/pachyderm.Files/PutFiles',
      toBinary(PutFilesRequestSchema, create(PutFilesRequestSchema, bulk)),
    ],
  ] as const
  for (const [path, message] of starts) {
    using caller = await RawCaller.open(pachd.port)
    const headers = { type: FrameType.headers, flags: endHeaders, stream: 1 }
    await caller.send(greeting)
    await caller.hears('')
    // From here on, frames may be as large as the server said.
    await caller.send(frame({ type: FrameType.settings, flags: 1 }))
    await caller.send(frame({ ...headers, payload: callHeaders(path) }))
    const payload = grpcMessage(message)
    for (let at = 0; at < payload.length; at += pieceBytes) {
      const piece = payload.subarray(at, at + pieceBytes)
      await caller.send(frame({ type: FrameType.data, stream: 1, payload: piece }))
      // An answer to a ping comes after what was sent before it has been taken.
      const taken = `at${String(at).padStart(6, '0')}`
      await caller.send(frame({ type: FrameType.ping, payload: Buffer.from(taken) }))
      expect(await caller.hears(taken)).toBe(true)
    }
  }
  await putFile(pachd, fileOf(repo, id, 'last'), 'whole')
  await pachd.pfs.finishCommit({ commit: commitOf(repo, id) })
  const { fileInfo } = await pachd.pfs.listFile({ file: fileOf(repo, id, '/') })
  expect(fileInfo.map(({ file }) => file?.path)).toEqual(['/last'])
})
