import { hexBytes, hexText, utf8 } from '../../../src/base/bytes.ts'
import { parseFilePath } from '../../../src/base/paths.ts'
import { datumKey } from '../../../src/pipelines/datums.ts'
import { decodeDatum, encodeDatum } from '../../../src/pipelines/datums/datum-sets.ts'
import {
  atomOrderKey,
  crossOrderKey,
  groupOrderKey,
  joinOrderKey,
  unionOrderKey,
} from '../../../src/pipelines/datums/order-keys.ts'
import { indexKey, parseIndexKey } from '../../../src/pipelines/discovery/match-index.ts'
import { decodeLog, encodeLog } from '../../../src/pipelines/datum-logs.ts'
import {
  contributionKey,
  orderKeyOf,
  pathOfContribution,
} from '../../../src/pipelines/outputs/contributions.ts'
import { openEntries, sealEntries } from '../../../src/pipelines/secrets/sealing.ts'
import type { StoredFormat } from './stored-format.ts'

const path = parseFilePath('/a/b')
const members = [{ input: 'in', path, hash: new Uint8Array(32).fill(7) }]
const lineage = { lineageId: 'a'.repeat(32), salt: 'b'.repeat(32) }
const lines = [
  { at: 1_700_000_000_000_000, stream: 'stdout', text: 'hello' },
  { at: 1_700_000_000_000_001, stream: 'stderr', text: '\uFFFD', bytes: Uint8Array.of(0xff) },
] as const

export const datumFormat: StoredFormat = {
  page: 'datums',
  version: '1',
  samples: {
    'a datum key': { write: () => datumKey(lineage, members) },
    'order keys': {
      write: () => {
        const [one, two] = [atomOrderKey(path), atomOrderKey(parseFilePath('/c\u0001'))]
        const cross = crossOrderKey([one, two])
        return [
          cross,
          unionOrderKey(1, one),
          joinOrderKey('k/1', [true, false], one),
          groupOrderKey('k'),
        ]
          .map(hexText)
          .join(' ')
      },
    },
    'a datum of a set': {
      write: () => hexText(encodeDatum({ key: datumKey(lineage, members), members })),
      read: (written) => decodeDatum(hexBytes(written)),
    },
    'a key of matches': {
      write: () => hexText(indexKey({ node: 1, matchKey: 'k', member: 2, path })),
      read: (written) => parseIndexKey(hexBytes(written)),
    },
    'a key of contributions': {
      write: () => hexText(contributionKey(path, atomOrderKey(path))),
      read: (written) => {
        const key = hexBytes(written)
        return { path: pathOfContribution(key), orderKey: orderKeyOf(key) }
      },
    },
    'a log': {
      write: () => hexText(encodeLog(lines)),
      read: (written) => decodeLog(hexBytes(written)),
    },
    'which logs are compressed': {
      write: () => {
        const text = 'x'.repeat(600)
        return String(encodeLog([{ at: 1, stream: 'note', text }])[0])
      },
    },
  },
}

const key = { id: 'k', bytes: new Uint8Array(32).fill(1) }
const place = { name: 's', revision: 'r', entryNames: ['a', 'b'] }

export const sealedSecret: StoredFormat['samples'][string] = {
  write: () => {
    const nonce = new Uint8Array(12).fill(2)
    const values = new Map([
      ['a', utf8('hi')],
      ['b', utf8('')],
    ])
    return hexText(sealEntries(values, { key, nonce, place }))
  },
  read: (written) => openEntries(hexBytes(written), { key, place }),
}
