import { chmodSync, closeSync, copyFileSync, existsSync, openSync, readSync } from 'node:fs'
import { join } from 'node:path'

import { assert } from '../../base/errors.ts'
import type { SlotFiles } from './slot-files.ts'

export const staticShellName = 'busybox'
const places = ['/bin/busybox', '/usr/bin/busybox', '/usr/local/bin/busybox']
/** More headers than any program has. */
const headersBytesMax = 4096
const interpreterType = 3

/** A busybox of this machine that needs no libraries, and so runs in any image. */
export function findStaticShell(): string | undefined {
  return places.find((path) => existsSync(path) && isStatic(path))
}

/** Where the container finds it as `/.pachyderm/busybox`. */
export function addStaticShell(files: SlotFiles, path: string | undefined): void {
  assert(path !== undefined, 'a shell was found before it is needed')
  const target = join(files.control, staticShellName)
  copyFileSync(path, target)
  chmodSync(target, 0o755)
}

/** Whether a program of 64 bits names no interpreter that loads its libraries. */
function isStatic(path: string): boolean {
  const bytes = Buffer.alloc(headersBytesMax)
  const descriptor = openSync(path, 'r')
  try {
    readSync(descriptor, bytes, 0, bytes.length, 0)
  } finally {
    closeSync(descriptor)
  }
  const isElf64 = bytes.readUInt32BE(0) === 0x7f454c46 && bytes[4] === 2 && bytes[5] === 1
  if (!isElf64) return false
  const headersAt = Number(bytes.readBigUInt64LE(32))
  const headerBytes = bytes.readUInt16LE(54)
  const count = bytes.readUInt16LE(56)
  for (let index = 0; index < count; index += 1) {
    const at = headersAt + index * headerBytes
    if (at + 4 > bytes.length) return false
    if (bytes.readUInt32LE(at) === interpreterType) return false
  }
  return true
}
