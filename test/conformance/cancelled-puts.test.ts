import { setImmediate as turn } from 'node:timers/promises'
import { create, toBinary } from '@bufbuild/protobuf'
import { expect, test } from 'vitest'
import { utf8 } from '../../src/base/bytes.ts'
import { ownUserAgent } from '../../src/base/grpc-wire.ts'
import { PutFilesRequestSchema } from '../../src/gen/pachyderm_pb.ts'
import { PutFileRequestSchema } from '../../src/gen/pfs_pb.ts'
import { TemporaryDirectory } from '../../src/testing/temporary-directory.ts'
import { ChildPachd, oneDoor } from '../harness/child-pachd.ts'
import { freshRepo } from '../harness/expectations.ts'
import { commitOf, fileOf, putFile } from '../harness/files.ts'
import {
  callHeaders,
  endHeaders,
  endStream,
  frame,
  FrameType,
  greeting,
  grpcMessage,
  RawCaller,
} from '../harness/raw-http2.ts'
import { TestClient, TestPachd } from '../harness/test-pachd.ts'

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

/** A server's PING, up to what is to be sent back. */
const ping = frame({ type: FrameType.ping }).toString('latin1', 3)

test('an upload that looks whole is none when a reset follows; who only resets is not asked for one', async () => {
  await using pachd = await TestPachd.start()
  const repo = await freshRepo(pachd)
  const { id } = await pachd.pfs.startCommit({ parent: commitOf(repo, ''), branch: 'master' })
  const start = async (path: string, program: string): Promise<RawCaller> => {
    const caller = await RawCaller.open(pachd.port)
    const put = create(PutFileRequestSchema, { file: fileOf(repo, id, path), value: utf8('1') })
    const payload = grpcMessage(toBinary(PutFileRequestSchema, put))
    const headers = callHeaders('/pfs.API/PutFile', [['user-agent', program]])
    await caller.send(greeting)
    await caller.send(
      frame({ type: FrameType.headers, flags: endHeaders, stream: 1, payload: headers }),
    )
    await caller.send(frame({ type: FrameType.data, flags: endStream, stream: 1, payload }))
    return caller
  }
  using node = await start('node', 'grpc-node-js/1.14.7')
  expect(await node.hears(ping)).toBe(true)
  const asked = Buffer.from(node.heard.split(ping)[1] ?? '', 'latin1').subarray(0, 8)
  const reset = Buffer.of(0, 0, 0, 8) // CANCEL
  await node.send(frame({ type: FrameType.reset, stream: 1, payload: reset }))
  await node.send(frame({ type: FrameType.ping, flags: 1, payload: asked }))
  using go = await start('go', 'grpc-go/1.0')
  using own = await start('own', ownUserAgent)
  const paths = async (): Promise<readonly (string | undefined)[]> => {
    const { fileInfo } = await pachd.pfs.listFile({ file: fileOf(repo, id, '/') })
    return fileInfo.map(({ file }) => file?.path)
  }
  await expect.poll(paths).toEqual(['/go', '/own'])
  for (const { heard } of [go, own]) expect(heard).not.toContain(ping)
})

test('what a caller in another process cancels after its first message is not stored', async () => {
  await using directory = await TemporaryDirectory.create()
  await using child = new ChildPachd(oneDoor(directory.join('data')))
  await using pachd = new TestClient(await child.ready)
  const repo = await freshRepo(pachd)
  const { id } = await pachd.pfs.startCommit({ parent: commitOf(repo, ''), branch: 'master' })
  for (let at = 0; at < uploadCount; at += 1) {
    const cancel = new AbortController()
    async function* first() {
      yield { commit: commitOf(repo, id), parts: [{ path: `f${at}`, value: utf8('1') }] }
      for (let turns = 0; turns < 1 + (at % 10); turns += 1) await turn()
      cancel.abort()
      await new Promise(() => undefined)
    }
    await expect(pachd.files.putFiles(first(), { signal: cancel.signal })).rejects.toThrow(
      /cancel/i,
    )
  }
  await pachd.pfs.finishCommit({ commit: commitOf(repo, id) })
  const { fileInfo } = await pachd.pfs.listFile({ file: fileOf(repo, id, '/') })
  expect(fileInfo).toEqual([])
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
