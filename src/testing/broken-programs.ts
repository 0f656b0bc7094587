/** Numbers of machines in the headers of programs. */
const x64 = 62
const arm64 = 183
const own = process.arch === 'arm64' ? arm64 : x64
const headerBytes = 64
const entryBytes = 56
const loadable = 1
const loaderName = 3
const startAddress = 0x400000
const segmentBytes = 0x40000

/** A file that is started as a program, and what is told of it. */
export interface BrokenProgram {
  readonly bytes: Buffer
  readonly mode: number
  readonly told: string
}

/** The beginning of a program as Linux has it; `loader` is in its file. */
export function programOf(machine: number, loader?: string): Buffer {
  const bytes = Buffer.alloc(4096)
  bytes.write('\u007fELF', 0, 'latin1')
  // 64 bits, little-endian.
  bytes.set([2, 1, 1], 4)
  bytes.writeUInt16LE(2, 16)
  bytes.writeUInt16LE(machine, 18)
  bytes.writeUInt32LE(1, 20)
  bytes.writeBigUInt64LE(BigInt(startAddress + segmentBytes / 2), 24)
  bytes.writeBigUInt64LE(BigInt(headerBytes), 32)
  bytes.writeUInt16LE(headerBytes, 52)
  bytes.writeUInt16LE(entryBytes, 54)
  bytes.writeUInt16LE(loader === undefined ? 1 : 2, 56)
  const name = `${loader}\0`
  const at = headerBytes + 2 * entryBytes
  const size = loader === undefined ? segmentBytes : bytes.length
  writeEntry(bytes, headerBytes, { kind: loadable, offset: 0, size })
  if (loader !== undefined) {
    writeEntry(bytes, headerBytes + entryBytes, { kind: loaderName, offset: at, size: name.length })
    bytes.write(name, at, 'latin1')
  }
  return bytes
}

function writeEntry(
  bytes: Buffer,
  entry: number,
  { kind, offset, size }: { readonly kind: number; readonly offset: number; readonly size: number },
): void {
  bytes.writeUInt32LE(kind, entry)
  // To be read and executed.
  bytes.writeUInt32LE(5, entry + 4)
  bytes.writeBigUInt64LE(BigInt(offset), entry + 8)
  bytes.writeBigUInt64LE(BigInt(startAddress + offset), entry + 16)
  bytes.writeBigUInt64LE(BigInt(size), entry + 32)
  bytes.writeBigUInt64LE(BigInt(size), entry + 40)
  bytes.writeBigUInt64LE(0x1000n, entry + 48)
}

function script(text: string): Buffer {
  return Buffer.from(text)
}

/** What people give as a program, and no machine of this kind starts. */
export const brokenPrograms: Readonly<Record<string, BrokenProgram>> = {
  'for another machine': {
    bytes: programOf(own === x64 ? arm64 : x64, '/lib/ld-linux.so'),
    mode: 0o755,
    told:
      own === x64
        ? 'it is a program for aarch64, and this machine is x86-64; get'
        : 'it is a program for x86-64, and this machine is aarch64; get',
  },
  'for Alpine': {
    bytes: programOf(own, '/lib/ld-musl-none.so.1'),
    mode: 0o755,
    told: 'it needs the loader "/lib/ld-musl-none.so.1", which is not there: it was built for Alpine',
  },
  'for glibc': {
    bytes: programOf(own, '/lib65/ld-linux-none.so.2'),
    mode: 0o755,
    told: 'it needs the loader "/lib65/ld-linux-none.so.2", which is not there: it was built for a system with glibc',
  },
  'cut off': {
    bytes: programOf(own),
    mode: 0o755,
    told: 'it is cut off: it has 4KiB, and its beginning tells of 256KiB or more; copy it again',
  },
  'cut off in its header': {
    bytes: programOf(own).subarray(0, 40),
    mode: 0o755,
    told: 'it is cut off: it has 40B',
  },
  'a script of Windows': {
    bytes: script('#!/bin/sh\r\necho hello\r\n'),
    mode: 0o755,
    told: "its first line ends with a carriage return, as lines of Windows do, which counts as part of the interpreter's name; convert it: dos2unix",
  },
  'without its interpreter': {
    bytes: script('#!/opt/none/python4\nprint(1)\n'),
    mode: 0o755,
    told: 'its first line asks for the interpreter "/opt/none/python4", which is not there; install it',
  },
  'with an interpreter that is a directory': {
    bytes: script('#!/usr\n'),
    mode: 0o755,
    told: 'its first line asks for the interpreter "/usr", and of that: it is a directory',
  },
  'not executable': {
    bytes: script('#!/bin/sh\necho hello\n'),
    mode: 0o644,
    told: 'it has no permission to be executed (its mode is 644); files of repos have none: have its interpreter start it',
  },
}
