import { create, type DescField, type DescMessage, ScalarType, toBinary } from '@bufbuild/protobuf'
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire'
import { concatBytes } from '../../src/base/bytes.ts'

/** A request of which one field fills nearly all, the rest being sensible. */
export interface FilledMessage {
  /** The field, and what it is filled with. */
  readonly name: string
  /** It is filled with very many things, and not with one that is long. */
  readonly isOfMany: boolean
  /** About so large. */
  bytes(sizeBytes: number): Uint8Array
}

const depthMax = 4
/** What a field of a name says, so that a call comes further than to `not found`. */
const sensibleTexts: Readonly<Record<string, string>> = {
  name: 'r',
  id: 'master',
  branch: 'master',
  into: 'master',
  path: '/a',
  pattern: '/*',
  glob: '/*',
  repo: 'r',
  message: 'said',
  description: 'said',
}

/** A request that could be meant, of which other fields can follow. */
function sensible(desc: DescMessage, depth = 0): Record<string, unknown> {
  const init: Record<string, unknown> = {}
  for (const field of desc.fields) {
    if (field.oneof !== undefined) continue
    if (field.fieldKind === 'message' && depth < depthMax && field.message !== desc) {
      init[field.localName] = sensible(field.message, depth + 1)
    }
    const text = sensibleTexts[field.name]
    const isText = field.fieldKind === 'scalar' && field.scalar === ScalarType.STRING
    if (isText && text !== undefined) init[field.localName] = text
  }
  return init
}

function sensibleBytes(desc: DescMessage): Uint8Array {
  return toBinary(desc, create(desc, sensible(desc) as never))
}

function lengthDelimited(number: number, bytes: Uint8Array): Uint8Array {
  return new BinaryWriter().tag(number, WireType.LengthDelimited).bytes(bytes).finish()
}

function times(piece: Uint8Array, sizeBytes: number): Uint8Array {
  const all = new Uint8Array(Math.floor(sizeBytes / piece.length) * piece.length)
  for (let at = 0; at < all.length; at += piece.length) all.set(piece, at)
  return all
}

const noBytes = new Uint8Array(0)
const oneLetter = Uint8Array.of(0x61)

/** Entries of a map, each with a key of its own. */
function entries(field: DescField & { readonly fieldKind: 'map' }, sizeBytes: number): Uint8Array {
  const all: Uint8Array[] = []
  let size = 0
  for (let index = 0; size < sizeBytes; index += 1) {
    const writer = new BinaryWriter()
    if (field.mapKey === ScalarType.STRING) {
      writer.tag(1, WireType.LengthDelimited).string(index.toString(36))
    } else writer.tag(1, WireType.Varint).uint64(index)
    const entry = lengthDelimited(field.number, writer.finish())
    all.push(entry)
    size += entry.length
  }
  return concatBytes(all)
}

interface Fill {
  readonly how: string
  readonly isOfMany: boolean
  readonly make: (sizeBytes: number) => Uint8Array
}

/** The ways to fill a message with one field. */
function fillsOf(field: DescField): readonly Fill[] {
  const { number } = field
  const many = (how: string, value: Uint8Array): Fill => ({
    how,
    isOfMany: true,
    make: (size) => times(lengthDelimited(number, value), size),
  })
  const one = (how: string, letter: number, isOfMany = false): Fill => ({
    how,
    isOfMany,
    make: (size) => lengthDelimited(number, new Uint8Array(size).fill(letter)),
  })
  switch (field.fieldKind) {
    case 'message':
      return [many('said again and again', noBytes)]
    case 'map':
      return [{ how: 'of many keys', isOfMany: true, make: (size) => entries(field, size) }]
    case 'list':
      if (field.listKind === 'message') {
        return [many('empty', noBytes), many('sensible', sensibleBytes(field.message))]
      }
      if (field.listKind === 'scalar' && isTextual(field.scalar)) {
        return [many('empty', noBytes), many('of a letter', oneLetter), one('a long one', 0x61)]
      }
      return [one('packed', 1, true)]
    case 'scalar':
      if (!isTextual(field.scalar)) return []
      // What is long to look at, for one reason or another.
      return [one('of letters', 0x61), one('of slashes', 0x2f), one('of stars', 0x2a)]
    case 'enum':
      return []
  }
}

function isTextual(type: ScalarType): boolean {
  return type === ScalarType.STRING || type === ScalarType.BYTES
}

/**
 * Every field that a request can hold, once, and each way to fill it. `deep` has the fields of messages in
 * messages that other requests have shown already, and gets those of this one.
 */
export function filledMessages(
  request: DescMessage,
  deep: Set<DescField> = new Set(),
): readonly FilledMessage[] {
  const known = new Set<DescField>()
  const found: FilledMessage[] = []
  const start = sensibleBytes(request)
  const walk = (desc: DescMessage, around: readonly number[]): void => {
    for (const field of desc.fields) {
      if (known.has(field) || (around.length > 0 && deep.has(field))) continue
      known.add(field)
      if (around.length > 0) deep.add(field)
      for (const { how, isOfMany, make } of fillsOf(field)) {
        found.push({
          name: `${desc.typeName}.${field.name}, ${how}`,
          isOfMany,
          bytes: (sizeBytes) => {
            const inner = make(sizeBytes)
            const outer = around.toReversed()
            return concatBytes([
              start,
              outer.reduce((all, tag) => lengthDelimited(tag, all), inner),
            ])
          },
        })
      }
      const isMessage = field.fieldKind === 'message' || field.fieldKind === 'list'
      if (isMessage && field.message !== undefined && around.length < depthMax) {
        walk(field.message, [...around, field.number])
      }
    }
  }
  walk(request, [])
  // Of one byte, where there is such a number.
  const numbers = new Set(request.fields.map(({ number }) => number))
  const unknown = lengthDelimited(numbers.has(15) ? 2000 : 15, noBytes)
  found.push({
    name: 'fields that nobody knows',
    isOfMany: true,
    bytes: (sizeBytes) => concatBytes([start, times(unknown, sizeBytes)]),
  })
  return found
}
