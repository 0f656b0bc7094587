import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { open } from 'node:fs/promises'
import { concatBytes, equalBytes } from '../../base/bytes.ts'
import { WireFormatError, WireReader } from '../../base/wire-reader.ts'
import { OldDamageError, type OnDamage } from '../damage.ts'
import type { OldMetadata, StoredRecord } from './old-metadata.ts'
import { BoltFile } from './bolt-file.ts'
import { KeyBeginnings } from './key-beginnings.ts'

const revisionBytes = 17
const tombstone = 't'.charCodeAt(0)
const sumBytes = 32
/** Snapshots have a checksum behind whole sectors. */
const sectorBytes = 512
const [keyTag, modRevisionTag, valueTag] = [0x0a, 0x18, 0x2a]

/**
 * A snapshot of etcd v3, or its database file: the last revision of every key below `prefixes`. Only
 * these are kept in memory, without what `ignores` says.
 *
 * Pages and records that are damaged are told and passed over.
 */
export async function openSnapshot(
  path: string,
  wanted: (key: string) => boolean,
  onDamage: OnDamage,
): Promise<OldMetadata> {
  await using file = await BoltFile.open(path)
  const tell = (reason: string): void => onDamage({ kind: 'metadata', what: path, reason })
  if (!(await isSumRight(path))) {
    tell('the checksum at the end of the snapshot is not that of what it holds')
  }
  const records = new Map<string, StoredRecord>()
  const beginnings = new KeyBeginnings()
  let revision = 0
  for await (const { key: name, value: bytes } of file.entries('key', tell)) {
    try {
      const written = recordOf(bytes)
      if (name.length < revisionBytes) throw new OldDamageError('its revision is cut short')
      const main = Number(new DataView(name.buffer, name.byteOffset).getBigUint64(0))
      revision = Math.max(revision, main)
      const key = keyText(written.key)
      const isDeleted = name[revisionBytes] === tombstone
      if (!isDeleted) beginnings.add(key)
      if (!wanted(key)) continue
      if (isDeleted) records.delete(key)
      else {
        // Deleted first, so that the map's order is that of the last writes.
        records.delete(key)
        // In a buffer that many share: one for each of millions of short values costs more than they do.
        records.set(key, { key, value: Buffer.from(written.value), modRevision: main })
      }
    } catch (error) {
      if (!(error instanceof OldDamageError || error instanceof WireFormatError)) throw error
      tell(`a revision cannot be read: ${error.message}`)
    }
  }
  return new Snapshot({ name: path, revision, beginnings: beginnings.all }, [...records.values()])
}

class Snapshot implements OldMetadata {
  readonly name: string
  readonly revision: number
  readonly #beginnings: readonly string[]
  #records: readonly StoredRecord[]

  constructor(
    facts: {
      readonly name: string
      readonly revision: number
      readonly beginnings: readonly string[]
    },
    records: readonly StoredRecord[],
  ) {
    this.name = facts.name
    this.revision = facts.revision
    this.#beginnings = facts.beginnings
    this.#records = records
  }

  list(prefix: string): Promise<readonly StoredRecord[]> {
    return Promise.resolve(this.#records.filter(({ key }) => key.startsWith(prefix)))
  }

  beginnings(): Promise<readonly string[]> {
    return Promise.resolve(this.#beginnings)
  }

  forget(prefixes: readonly string[]): void {
    const isForgotten = ({ key }: StoredRecord): boolean =>
      prefixes.some((prefix) => key.startsWith(prefix))
    this.#records = this.#records.filter((record) => !isForgotten(record))
  }

  hasChanged(): Promise<boolean> {
    return Promise.resolve(false)
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

function recordOf(bytes: Uint8Array): { readonly key: Uint8Array; readonly value: Uint8Array } {
  const reader = new WireReader([bytes])
  let key: Uint8Array = new Uint8Array(0)
  let value: Uint8Array = new Uint8Array(0)
  while (!reader.atEnd) {
    switch (reader.tag()) {
      case keyTag:
        key = concatBytes(reader.bytes())
        break
      case valueTag:
        value = concatBytes(reader.bytes())
        break
      case modRevisionTag:
        reader.int64()
        break
      default:
        reader.skip()
    }
  }
  if (key.length === 0) throw new OldDamageError('it has no key')
  return { key, value }
}

/** Keys are UTF-8 in practice; what is not is shown as it is, byte by byte. */
export function keyText(key: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(key)
  } catch {
    return Buffer.from(key).toString('latin1')
  }
}

/** Whether the file is what its checksum says; true where it has none. */
async function isSumRight(path: string): Promise<boolean> {
  const file = await open(path, 'r')
  try {
    const { size } = await file.stat()
    if (size % sectorBytes !== sumBytes) return true
    const sum = new Uint8Array(sumBytes)
    await file.read(sum, 0, sumBytes, size - sumBytes)
    const hash = createHash('sha256')
    for await (const piece of createReadStream(path, { end: size - sumBytes - 1 })) {
      hash.update(piece as Uint8Array)
    }
    return equalBytes(hash.digest(), sum)
  } finally {
    await file.close()
  }
}
