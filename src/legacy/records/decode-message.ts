import {
  create,
  type DescField,
  type DescMessage,
  fromBinary,
  type Message,
  type MessageShape,
  ScalarType,
} from '@bufbuild/protobuf'
import { reflect, type ReflectMessage } from '@bufbuild/protobuf/reflect'
import { utf8Text } from '../../base/bytes.ts'
import { isTextMessage, parseTextMessage, TextFormatError, type TextField } from './text-proto.ts'

/** What a record says in fields that 1.5 does not have any more, by name. */
export type ExtraFields = ReadonlyMap<string, TextField>

/** Names of 1.4 for values of enums. */
const formerValues: Readonly<Record<string, string>> = {
  JOB_STOPPED: 'JOB_KILLED',
  PIPELINE_STOPPED: 'PIPELINE_PAUSED',
}

/**
 * Decodes a record: binary, as 1.5 stores it, or text, as 1.4 does. Fields that are not known any
 * more are passed over, and given as `extras` where the record is text.
 *
 * @throws {Error} for what is neither.
 */
export function decodeRecord<Schema extends DescMessage>(
  schema: Schema,
  bytes: Uint8Array,
): { readonly message: MessageShape<Schema>; readonly extras: ExtraFields } {
  if (!isTextMessage(bytes)) return { message: fromBinary(schema, bytes), extras: new Map() }
  const extras = new Map<string, TextField>()
  const message = create(schema)
  fill(reflect(schema, message), parseTextMessage(bytes), extras)
  return { message, extras }
}

function fill(
  target: ReflectMessage,
  fields: readonly TextField[],
  extras: Map<string, TextField> | undefined,
): void {
  for (const field of fields) {
    const desc = fieldOf(target.desc, field.name)
    if (desc === undefined) extras?.set(field.name, field)
    else setField(target, desc, field)
  }
}

/** By its name, or as 1.4 wrote some: `outputBranch`. */
function fieldOf(desc: DescMessage, name: string): DescField | undefined {
  return desc.fields.find((field) => field.name === name || field.jsonName === name)
}

function setField(target: ReflectMessage, desc: DescField, field: TextField): void {
  switch (desc.fieldKind) {
    case 'list': {
      const list = target.get(desc)
      if (desc.listKind === 'message') list.add(messageOf(desc.message, field))
      else if (desc.listKind === 'scalar') list.add(scalarOf(desc.scalar, field))
      else list.add(enumOf(desc, field))
      return
    }
    case 'map': {
      const entry = fieldsOf(field)
      const key = entry.find(({ name }) => name === 'key')
      const value = entry.find(({ name }) => name === 'value')
      const mapKey = key === undefined ? defaultOf(desc.mapKey) : scalarOf(desc.mapKey, key)
      target.get(desc).set(mapKey, mapValueOf(desc, value))
      return
    }
    case 'message':
      target.set(desc, messageOf(desc.message, field))
      return
    case 'enum':
      target.set(desc, enumOf(desc, field))
      return
    case 'scalar':
      target.set(desc, scalarOf(desc.scalar, field))
  }
}

function mapValueOf(
  desc: DescField & { readonly fieldKind: 'map' },
  field: TextField | undefined,
): unknown {
  if (desc.mapKind === 'scalar') {
    return field === undefined ? defaultOf(desc.scalar) : scalarOf(desc.scalar, field)
  }
  if (desc.mapKind === 'enum') return field === undefined ? 0 : enumOf(desc, field)
  return field === undefined
    ? reflect(desc.message, create(desc.message))
    : messageOf(desc.message, field)
}

function messageOf(desc: DescMessage, field: TextField): ReflectMessage {
  const message: Message = create(desc)
  const target = reflect(desc, message)
  fill(target, fieldsOf(field), undefined)
  return target
}

function fieldsOf({ name, value }: TextField): readonly TextField[] {
  if (value.kind === 'message') return value.fields
  throw new TextFormatError(`text that is no message: field ${name} has a value of the wrong kind`)
}

function enumOf(desc: DescField, field: TextField): number {
  const word = wordOf(field)
  if (/^-?\d+$/.test(word)) return Number(word)
  const name = formerValues[word] ?? word
  const value = desc.enum?.values.find((known) => known.name === name)
  if (value !== undefined) return value.number
  throw new TextFormatError(`field ${field.name} has the unknown value ${word}`)
}

function wordOf({ name, value }: TextField): string {
  if (value.kind === 'word') return value.word
  throw new TextFormatError(`field ${name} has a value of the wrong kind`)
}

const wide: ReadonlySet<ScalarType> = new Set([
  ScalarType.INT64,
  ScalarType.UINT64,
  ScalarType.SINT64,
  ScalarType.FIXED64,
  ScalarType.SFIXED64,
])

function scalarOf(type: ScalarType, field: TextField): unknown {
  if (type === ScalarType.STRING || type === ScalarType.BYTES) {
    const { name, value } = field
    if (value.kind !== 'text') {
      throw new TextFormatError(`field ${name} has a value of the wrong kind`)
    }
    return type === ScalarType.STRING ? utf8Text(value.bytes) : value.bytes
  }
  const word = wordOf(field)
  if (type === ScalarType.BOOL) return word === 'true' || word === 't' || word === '1'
  if (type === ScalarType.DOUBLE || type === ScalarType.FLOAT) return doubleOf(field.name, word)
  if (!/^-?(?:0[xX][0-9a-fA-F]+|\d+)$/.test(word)) {
    throw new TextFormatError(`field ${field.name} should be a whole number, not ${word}`)
  }
  return wide.has(type) ? BigInt(word) : Number(word)
}

function doubleOf(name: string, word: string): number {
  const special = { inf: Infinity, '+inf': Infinity, '-inf': -Infinity, nan: NaN }
  const bare = word.toLowerCase()
  if (Object.hasOwn(special, bare)) return special[bare as keyof typeof special]
  const value = Number(bare.replace(/f$/, ''))
  if (!Number.isNaN(value)) return value
  throw new TextFormatError(`field ${name} should be a number, not ${word}`)
}

function defaultOf(type: ScalarType): unknown {
  if (type === ScalarType.STRING) return ''
  if (type === ScalarType.BYTES) return new Uint8Array(0)
  if (type === ScalarType.BOOL) return false
  return wide.has(type) ? 0n : 0
}
