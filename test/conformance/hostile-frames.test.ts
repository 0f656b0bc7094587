import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  type IncomingHttpHeaders,
} from 'node:http2'
import * as fc from 'fast-check'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { connectionCountMax } from '../../src/server/connection-count.ts'
import { TemporaryDirectory } from '../../src/testing/temporary-directory.ts'
import { ChildPachd } from '../harness/child-pachd.ts'
import { commitOf, fileOf, putFile } from '../harness/files.ts'
import {
  callHeaders,
  endHeaders,
  endStream,
  frame,
  FrameType,
  greeting,
  grpcMessage,
  headerField,
  preface,
  RawCaller,
} from '../harness/raw-http2.ts'
import { TestClient } from '../harness/test-pachd.ts'

/** As many as the server takes, where the system lets it and this process have so many files open. */
const idleCount = Math.min(10_000, connectionCountMax())
const idleKibMax = 50
/**
 * What the server may use in all, whatever these callers do: some 120 MiB are its own, messages that
 * are not whole have 256 MiB, garbage waits to be collected, and each connection has its share.
 */
const memoryMibMax = 750 + (idleCount * idleKibMax) / 1024

const grpcContent = { 'content-type': 'application/grpc' }

let directory: TemporaryDirectory
let child: ChildPachd
let port: number
/** Somebody else, who wants to work meanwhile. */
let other: TestClient
beforeAll(async () => {
  directory = await TemporaryDirectory.create()
  child = new ChildPachd(['--root', directory.join('data'), '--address', '127.0.0.1:0'])
  port = await child.ready
  other = new TestClient(port)
  await other.pfs.createRepo({ repo: { name: 'r' } })
  await other.pfs.startCommit({ parent: commitOf('r', ''), branch: 'master' })
})
afterAll(async () => {
  await other[Symbol.asyncDispose]()
  await child[Symbol.asyncDispose]()
  await directory[Symbol.asyncDispose]()
})

let putCount = 0

/** Reads and writes of somebody else succeed, and so does a connection that is new. */
async function serves(): Promise<void> {
  putCount += 1
  await putFile(other, fileOf('r', 'master', `f${putCount}`), 'x')
  await using fresh = new TestClient(port)
  const { fileInfo } = await fresh.pfs.listFile({ file: fileOf('r', 'master', '/') })
  expect(fileInfo).toHaveLength(putCount)
}

afterEach(serves)

async function caller(options?: { readonly reads?: boolean }): Promise<RawCaller> {
  return RawCaller.open(port, options)
}

/** Sends `bytes` of each number from 0 on, at most `count` times; says how often it could. */
async function flood(
  from: RawCaller,
  count: number,
  bytes: (index: number) => Uint8Array,
): Promise<number> {
  for (let index = 0; index < count; index += 1) if (!(await from.send(bytes(index)))) return index
  return count
}

const streamOf = (index: number): number => 2 * index + 1
const { data, headers, priority, reset, settings, pushPromise, ping, goAway } = FrameType
const { windowUpdate, continuation } = FrameType
const startOf = (stream: number, path: string, flags = endHeaders): Buffer =>
  frame({ type: headers, flags, stream, payload: callHeaders(path) })
const cancel = (stream: number): Buffer =>
  frame({ type: reset, stream, payload: Buffer.of(0, 0, 0, 8) })

describe('floods that end with the connection of who sends them', () => {
  test.each([
    ['of CONTINUATION frames', () => headerField('x', 'y'.repeat(1000))],
    ['of empty CONTINUATION frames', () => new Uint8Array(0)],
  ])('%s', async (_what, payload) => {
    using hostile = await caller()
    await hostile.send(Buffer.concat([greeting, startOf(1, '/health.Health/Health', 0)]))
    const sent = await flood(hostile, 50_000, () =>
      frame({ type: continuation, stream: 1, payload: payload() }),
    )
    expect(sent).toBeLessThan(50_000)
  })

  test('of headers too large to keep, and of a table’s entry said again and again', async () => {
    using large = await caller()
    await large.send(greeting)
    const fields = Array.from({ length: 100 }, (_, at) => [`h${at}`, 'v'.repeat(1000)] as const)
    const block = callHeaders('/health.Health/Health', fields)
    await flood(large, 1000, (at) =>
      frame({ type: headers, flags: endHeaders, stream: streamOf(at), payload: block }),
    )
    // 0x40 puts the field into the table, whose newest entry is then 0xbe: a byte for 4 KiB.
    const entry = Buffer.concat([Buffer.of(0x40), headerField('n', 'v'.repeat(4000)).subarray(1)])
    using small = await caller()
    await small.send(greeting)
    await small.send(
      frame({
        type: headers,
        flags: endHeaders | endStream,
        stream: 1,
        payload: Buffer.concat([callHeaders('/x/y'), entry, Buffer.alloc(16_000, 0xbe)]),
      }),
    )
    expect(await small.hears('')).toBe(true)
  })

  test.each([
    ['of SETTINGS', frame({ type: settings })],
    ['of PING', frame({ type: ping, payload: Buffer.alloc(8) })],
  ])('%s, from somebody who does not read the answers', async (_what, bytes) => {
    using hostile = await caller({ reads: false })
    await hostile.send(greeting)
    const many = Buffer.concat(Array.from({ length: 1000 }, () => bytes))
    for (let count = 0; count < 1000; count += 1) hostile.push(many)
    await hostile.closed
    expect(hostile.isOpen).toBe(false)
  })

  test('of streams past the bound', async () => {
    using hostile = await caller()
    await hostile.send(greeting)
    const sent = await flood(hostile, 50_000, (at) => startOf(streamOf(at), '/pfs.API/PutFile'))
    expect(sent).toBeLessThan(50_000)
  })
})

describe('what costs the server work and leaves nothing behind', () => {
  test.each([
    ['/pfs.API/SubscribeCommit', false],
    ['/pfs.API/ListRepo', true],
    ['/pfs.API/PutFile', false],
  ])('thousands of calls to %s, each cancelled at once', async (path, isWhole) => {
    using hostile = await caller()
    await hostile.send(greeting)
    const request = grpcMessage(new Uint8Array(0))
    const sent = await flood(hostile, 10_000, (at) => {
      const stream = streamOf(at)
      const body = frame({ type: data, stream, flags: endStream, payload: request })
      return Buffer.concat([startOf(stream, path), ...(isWhole ? [body] : []), cancel(stream)])
    })
    expect(sent).toBe(10_000)
  })

  test('many requests that stop before their end, each nearly as large as one may be', async () => {
    const session = connect(`http://127.0.0.1:${port}`)
    session.on('error', () => undefined)
    const almost = grpcMessage(new Uint8Array(18_000_000), { claimedBytes: 20_000_000 })
    const held = new Set<ClientHttp2Stream>()
    for (let count = 0; count < 60; count += 1) {
      const path = '/pfs.API/InspectRepo'
      const stream = session.request({ ':method': 'POST', ':path': path, ...grpcContent })
      stream.on('error', () => undefined).resume()
      // Those that say nothing more are given up, for others that wait.
      stream.on('close', () => held.delete(stream))
      stream.write(almost, (error) => {
        if (error === undefined || error === null) held.add(stream)
      })
    }
    // Those for which there is memory, of 256 MiB.
    await expect.poll(() => held.size).toBeGreaterThan(8)
    for (let count = 0; count < 10; count += 1) {
      await serves()
      expect(held.size).toBeLessThan(15)
    }
    session.destroy()
  })
})

describe('frames that break the rules', () => {
  test.each([
    ['data without a stream', { type: data, payload: Buffer.alloc(10) }],
    ['data on a stream that is not open', { type: data, stream: 9, payload: Buffer.alloc(10) }],
    ['a stream of the server’s', { type: headers, flags: endHeaders, stream: 2 }],
    [
      'headers that are no HPACK',
      { type: headers, flags: 5, stream: 1, payload: Buffer.alloc(9, 255) },
    ],
    ['a continuation of nothing', { type: continuation, stream: 1 }],
    ['a promise', { type: pushPromise, flags: endHeaders, stream: 1, payload: Buffer.alloc(4) }],
    ['a reset of what never was', { type: reset, stream: 7, payload: Buffer.alloc(4) }],
    [
      'a window that grows too large',
      { type: windowUpdate, payload: Buffer.from('7fffffff', 'hex') },
    ],
    ['a window that grows by nothing', { type: windowUpdate, payload: Buffer.alloc(4) }],
    ['settings cut short', { type: settings, payload: Buffer.alloc(5) }],
    ['a ping cut short', { type: ping, payload: Buffer.alloc(3) }],
    ['a frame larger than any may be', { type: data, stream: 1, claimedBytes: 2 ** 24 - 1 }],
  ])('%s closes the connection', async (_what, broken) => {
    using hostile = await caller()
    await hostile.send(Buffer.concat([greeting, frame(broken)]))
    await hostile.closed
    expect(hostile.isOpen).toBe(false)
  })

  test.each([
    ['of an unknown type', { type: 99, flags: 255, stream: 3, payload: Buffer.alloc(99) }],
    ['that would order streams', { type: priority, stream: 3, payload: Buffer.alloc(5) }],
    ['of an unknown setting', { type: settings, payload: Buffer.from('ffff00000000', 'hex') }],
  ])('a frame %s is passed over', async (_what, strange) => {
    using hostile = await caller()
    await hostile.send(
      Buffer.concat([greeting, frame(strange), startOf(5, '/health.Health/Health')]),
    )
    const request = grpcMessage(new Uint8Array(0))
    await hostile.send(frame({ type: data, flags: endStream, stream: 5, payload: request }))
    // Trailers: HEADERS of stream 5 that end both the block and the stream.
    expect(await hostile.hears('\u0001\u0005\0\0\0\u0005')).toBe(true)
  })
})

const anyFrame = fc
  .record({
    type: fc.nat(12),
    flags: fc.nat(255),
    stream: fc.constantFrom(0, 1, 1, 1, 2, 3, 2 ** 31 - 1, 2 ** 32 - 1),
    payload: fc.oneof(
      fc.uint8Array({ maxLength: 40 }),
      fc.constant(callHeaders('/pfs.API/PutFile')),
      fc.constant(grpcMessage(new Uint8Array(0))),
    ),
    lie: fc.option(fc.nat(2 ** 24 - 1), { freq: 20 }),
  })
  .map(({ lie, ...fields }) => frame({ ...fields, ...(lie !== null && { claimedBytes: lie }) }))

test('any frames in any order harm nobody else', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(anyFrame, { maxLength: 30 }), async (frames) => {
      using hostile = await caller()
      await hostile.send(greeting)
      for (const bytes of frames) await hostile.send(bytes)
      await expect(other.health.health({})).resolves.toBeDefined()
    }),
    { numRuns: 200 },
  )
})

describe('messages that lie', () => {
  test.each([
    ['a length that never comes', grpcMessage(Buffer.of(1), { claimedBytes: 100 }), 13],
    ['half a prefix', Buffer.of(0, 0), 13],
    ['a length beyond all bounds', grpcMessage(Buffer.alloc(9), { claimedBytes: 2 ** 32 - 1 }), 8],
    ['compressed, though nothing was agreed on', grpcMessage(Buffer.alloc(9), { flag: 1 }), 13],
    ['a flag that means nothing', grpcMessage(Buffer.alloc(9), { flag: 7 }), 13],
    ['no message at all', Buffer.alloc(0), 13],
    ['two where one is expected', Buffer.alloc(10), 13],
  ])('%s', async (_what, payload, code) => {
    const session = connect(`http://127.0.0.1:${port}`)
    for (const path of ['/pfs.API/ListRepo', '/pfs.API/GetFile', '/pps.API/ListJob']) {
      expect(await statusOf(session, path, payload)).toBe(code)
    }
    session.close()
  })
})

async function statusOf(
  session: ClientHttp2Session,
  path: string,
  payload: Uint8Array,
): Promise<number> {
  const stream = session.request({ ':method': 'POST', ':path': path, ...grpcContent })
  const status = Promise.withResolvers<number>()
  const look = (fields: IncomingHttpHeaders): void => {
    if (fields['grpc-status'] !== undefined) status.resolve(Number(fields['grpc-status']))
  }
  stream.on('response', look).on('trailers', look).on('error', status.reject)
  stream.resume().end(payload)
  return status.promise
}

describe('callers that are slow, or silent', () => {
  test('bytes at a trickle on many connections keep nobody waiting', async () => {
    const text = Buffer.concat([greeting, startOf(1, '/health.Health/Health', 0)])
    const slow = await Promise.all(Array.from({ length: 100 }, async () => caller()))
    for (let at = 0; at < text.length; at += 1) {
      for (const one of slow) one.push(text.subarray(at, at + 1))
      if (at % 20 === 0) await serves()
    }
    expect(slow.every(({ isOpen }) => isOpen)).toBe(true)
    for (const one of slow) one[Symbol.dispose]()
  })

  test('a thousand streams on each connection, which say a byte now and then', async () => {
    const slow = await Promise.all(Array.from({ length: 4 }, async () => caller()))
    // A message of a hundred bytes that never comes to its end.
    const said = grpcMessage(new Uint8Array(20), { claimedBytes: 100 })
    for (const one of slow) {
      await one.send(greeting)
      for (let at = 0; at < 1000; at += 1) await one.send(startOf(streamOf(at), '/pfs.API/PutFile'))
    }
    for (let byte = 0; byte < said.length; byte += 1) {
      for (const one of slow) {
        const round = Array.from({ length: 1000 }, (_, at) =>
          frame({ type: data, stream: streamOf(at), payload: said.subarray(byte, byte + 1) }),
        )
        await one.send(Buffer.concat(round))
      }
      if (byte % 8 === 0) await serves()
    }
    expect(slow.every(({ isOpen }) => isOpen)).toBe(true)
    for (const one of slow) one[Symbol.dispose]()
  })

  test('HTTP/1.1 whose headers come at a trickle', async () => {
    const text = Buffer.from('GET / HTTP/1.1\r\nHost: here\r\nX: y')
    const slow = await Promise.all(Array.from({ length: 200 }, async () => caller()))
    for (let at = 0; at < text.length; at += 1) {
      for (const one of slow) one.push(text.subarray(at, at + 1))
      if (at % 10 === 0) await serves()
    }
    expect(slow.every(({ isOpen }) => isOpen)).toBe(true)
    for (const one of slow) one[Symbol.dispose]()
  })

  test('connections that stand half open, and others that vanish', async () => {
    const starts = [new Uint8Array(0), preface.subarray(0, 2), preface, greeting]
    const idle = await Promise.all(Array.from({ length: 400 }, async () => caller()))
    for (const [at, one] of idle.entries()) one.push(starts[at % starts.length] ?? preface)
    await serves()
    expect(idle.every(({ isOpen }) => isOpen)).toBe(true)
    for (const one of idle) one[Symbol.dispose]()
  })
})

test(`${idleCount} idle connections cost less than ${idleKibMax} KiB each, and others are served`, async () => {
  const before = await child.residentMemoryMib()
  const idle: RawCaller[] = []
  const open = async (): Promise<void> => {
    const one = await caller()
    idle.push(one)
    await one.send(greeting)
    await one.hears('')
  }
  while (idle.length < idleCount) {
    await Promise.all(Array.from({ length: Math.min(200, idleCount - idle.length) }, open))
  }
  await serves()
  const grownMib = (await child.residentMemoryMib()) - before
  expect((grownMib * 1024) / idleCount).toBeLessThan(idleKibMax)
  // Those that work have taken the places of the few that have been idle longest.
  const closed = idle.filter(({ isOpen }) => !isOpen)
  expect(closed.length).toBeLessThan(10)
  expect(idle.slice(0, 10)).toEqual(expect.arrayContaining(closed))
  for (const one of idle) one[Symbol.dispose]()
})

test('a connection that is told to go away ends in good order', async () => {
  using hostile = await caller()
  await hostile.send(Buffer.concat([greeting, frame({ type: goAway, payload: Buffer.alloc(8) })]))
  await hostile.closed
  expect(hostile.isOpen).toBe(false)
})

test('through all of this the server’s memory has stayed within its bound', async () => {
  expect(await child.peakMemoryMib()).toBeLessThan(memoryMibMax)
})
