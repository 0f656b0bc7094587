import { WireReader } from '../base/wire-reader.ts'
import type { CallOptions, Transport } from './transport.ts'

export interface Version {
  readonly major: number
  readonly minor: number
  readonly micro: number
  readonly additional: string
}

const version = { major: 0x08, minor: 0x10, micro: 0x18, additional: 0x22 } as const

/** The server's version, read by hand: generated code takes longer to load than the call. */
export async function getVersion(transport: Transport, options?: CallOptions): Promise<Version> {
  const path = '/versionpb.API/GetVersion'
  const reader = new WireReader([await transport.unary(path, new Uint8Array(0), options)])
  const read = { major: 0, minor: 0, micro: 0, additional: '' }
  while (!reader.atEnd) {
    const tag = reader.tag()
    if (tag === version.major) read.major = reader.int32()
    else if (tag === version.minor) read.minor = reader.int32()
    else if (tag === version.micro) read.micro = reader.int32()
    else if (tag === version.additional) read.additional = reader.string()
    else reader.skip()
  }
  return read
}
