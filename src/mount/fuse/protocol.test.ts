import { expect, test } from 'vitest'
import {
  encodeAttributes,
  encodeEntry,
  encodeInit,
  encodeOpen,
  EntriesWriter,
  transferBytesMax,
} from './answers.ts'
import { decodeRequest } from './requests.ts'

/** As the kernel writes it: a header of 40 bytes, then the body. */
function request(opcode: number, body: Buffer | string, nodeId = 1): Buffer {
  const bytes = Buffer.isBuffer(body) ? body : Buffer.from(body, 'latin1')
  const head = Buffer.alloc(40)
  head.writeUInt32LE(40 + bytes.length, 0)
  head.writeUInt32LE(opcode, 4)
  head.writeBigUInt64LE(0x1_0000_0002n, 8)
  head.writeBigUInt64LE(BigInt(nodeId), 16)
  return Buffer.concat([head, bytes])
}

function numbers(...values: readonly (readonly [bits: 32 | 64, value: number])[]): Buffer {
  return Buffer.concat(
    values.map(([bits, value]) => {
      const bytes = Buffer.alloc(bits / 8)
      bytes.writeUIntLE(value % 2 ** 32, 0, 4)
      if (bits === 64) bytes.writeUIntLE(Math.floor(value / 2 ** 32), 4, 4)
      return bytes
    }),
  )
}

test('an INIT that Linux 6.18 has sent', () => {
  const sent =
    '680000001a0000000200000000000000000000000000000000000000000000000000000000000000' +
    '070000002d00000000000200fbffff73fd0500000000000000000000000000000000000000000000' +
    '000000000000000000000000000000000000000000000000'
  expect(decodeRequest(Buffer.from(sent, 'hex'))).toEqual({
    opcode: 26,
    unique: 2,
    nodeId: 0,
    kind: 'init',
    major: 7,
    minor: 45,
    readAheadBytesMax: 131_072,
    flags: 0x73ff_fffb,
  })
})

test('the answer to INIT agrees to nothing that the kernel does not offer', () => {
  const all = Buffer.from(encodeInit(131_072, 0xffff_ffff))
  expect([all.length, all.readUInt32LE(0), all.readUInt32LE(4)]).toEqual([64, 7, 31])
  // ASYNC_READ, ATOMIC_O_TRUNC, BIG_WRITES, AUTO_INVAL_DATA, READDIRPLUS, PARALLEL_DIROPS, MAX_PAGES
  expect(all.readUInt32LE(12)).toBe(0x44_3029)
  expect([all.readUInt32LE(20), all.readUInt16LE(28)]).toEqual([transferBytesMax, 256])
  expect(Buffer.from(encodeInit(131_072, 0x29)).readUInt32LE(12)).toBe(0x29)
})

test.each([
  [1, 'n\xc3\xa4me\0', { kind: 'lookup', name: 'näme' }],
  [1, '\xff\0', { kind: 'lookup', name: undefined }],
  [
    9,
    Buffer.concat([numbers([32, 0o755], [32, 0o22]), Buffer.from('d\0')]),
    { kind: 'make-directory', name: 'd' },
  ],
  [
    12,
    Buffer.concat([numbers([64, 7]), Buffer.from('a\0b c\0')]),
    { kind: 'rename', newParentId: 7, name: 'a', newName: 'b c', replaces: true, otherFlags: 0 },
  ],
  [
    45,
    Buffer.concat([numbers([64, 7], [32, 3], [32, 0]), Buffer.from('a\0b\0')]),
    { kind: 'rename', newParentId: 7, name: 'a', newName: 'b', replaces: false, otherFlags: 2 },
  ],
  [2, numbers([64, 5]), { kind: 'forget', forgets: [{ nodeId: 1, count: 5 }] }],
  [
    42,
    numbers([32, 2], [32, 0], [64, 8], [64, 1], [64, 9], [64, 2]),
    {
      kind: 'forget',
      forgets: [
        { nodeId: 8, count: 1 },
        { nodeId: 9, count: 2 },
      ],
    },
  ],
  [
    15,
    numbers([64, 3], [64, 2 ** 40], [32, 4096], [32, 0], [64, 0], [32, 0], [32, 0]),
    { kind: 'read', handle: 3, range: { offset: 2 ** 40, size: 4096 } },
  ],
  [
    14,
    numbers([32, 0o1001], [32, 0]),
    { kind: 'open', access: { reads: false, writes: true, truncates: true } },
  ],
  [36, numbers([64, 2 ** 33 + 4]), { kind: 'interrupt', interrupted: 2 ** 33 + 4 }],
  [4096, '', { kind: 'unknown' }],
])('a request of opcode %i is read (%#)', (opcode, body, expected) => {
  expect(decodeRequest(request(opcode, body))).toEqual({
    opcode,
    unique: 2 ** 32 + 2,
    nodeId: 1,
    ...expected,
  })
})

test('a write has bytes of its own, and all of them', () => {
  const body = Buffer.concat([
    numbers([64, 3], [64, 10], [32, 3], [32, 0], [64, 0], [32, 0], [32, 0]),
    Buffer.from('abc'),
  ])
  const bytes = request(16, body)
  const read = decodeRequest(bytes)
  bytes.fill(0)
  expect(read).toMatchObject({ kind: 'write', offset: 10, bytes: Uint8Array.from([97, 98, 99]) })
  expect(() => decodeRequest(request(16, body.subarray(0, -1)))).toThrow(RangeError)
  expect(() => decodeRequest(request(1, 'no end'))).toThrow(RangeError)
})

const attributes = {
  inode: 2 ** 40 + 1,
  isDirectory: false,
  permissions: 0o444,
  sizeBytes: 5000,
  changedAt: 1_700_000_000,
  uid: 1,
  gid: 2,
}

test('attributes and entries have the sizes and places that Linux says', () => {
  const read = Buffer.from(encodeAttributes({ attributes, attributesSeconds: 9 }))
  expect(read.length).toBe(104)
  expect([read.readBigUInt64LE(0), read.readBigUInt64LE(16), read.readBigUInt64LE(24)]).toEqual([
    9n,
    2n ** 40n + 1n,
    5000n,
  ])
  // 512-byte blocks, mode, links, owner
  expect([read.readBigUInt64LE(32), read.readUInt32LE(76), read.readUInt32LE(80)]).toEqual([
    10n,
    0o100444,
    1,
  ])
  const entry = Buffer.from(
    encodeEntry({ nodeId: 6, entrySeconds: 1, attributes, attributesSeconds: 2 }),
  )
  expect([entry.length, entry.readBigUInt64LE(0), entry.readBigUInt64LE(16)]).toEqual([128, 6n, 1n])
  expect([entry.readBigUInt64LE(24), entry.readUInt32LE(40 + 60)]).toEqual([2n, 0o100444])
  expect(Buffer.from(encodeOpen(2 ** 33, 2)).toString('hex')).toBe(
    '00000000020000000200000000000000',
  )
})

test('directory entries are padded to 8 bytes, and end where there is no more room', () => {
  const entry = { name: Buffer.from('abc'), inode: 7, isDirectory: true, nextOffset: 3 }
  const writer = new EntriesWriter(70)
  writer.add(entry)
  writer.add(entry)
  expect(writer.hasRoom(entry, false)).toBe(false)
  const taken = Buffer.from(writer.take())
  expect(taken.length).toBe(64)
  expect(taken.subarray(0, 32).toString('hex')).toBe(
    '0700000000000000030000000000000003000000040000006162630000000000',
  )
  const plus = new EntriesWriter(200)
  expect(plus.hasRoom(entry, true)).toBe(true)
  plus.add(entry, { nodeId: 6, entrySeconds: 1, attributes, attributesSeconds: 2 })
  expect(plus.take().length).toBe(128 + 32)
})
