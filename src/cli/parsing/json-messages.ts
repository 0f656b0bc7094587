import {
  type DescField,
  type DescMessage,
  fromJson,
  type JsonValue,
  type MessageShape,
  ScalarType,
} from '@bufbuild/protobuf'
import { InvalidArgumentError } from '../../base/errors.ts'
import { goDurationSeconds } from '../../base/go-durations.ts'
import { shortened } from '../../base/shortened.ts'
import { suggestion } from './suggestion.ts'

/** Of what the protobuf library says, which quotes values. */
const messageLengthMax = 1000

/** What is known of fields that a message does not have: message → field → advice. */
export type FieldAdvice = Readonly<Record<string, Readonly<Record<string, string>>>>

/**
 * A message from its JSON form as 1.5 reads it; `what` is what the whole is called. `advice` is told
 * to whoever writes a field that is not there.
 *
 * @throws {InvalidArgumentError}
 */
export function messageFromJson<Desc extends DescMessage>(
  schema: Desc,
  value: unknown,
  what: string,
  advice: FieldAdvice = {},
): MessageShape<Desc> {
  const json = acceptable(schema, value, { what, path: '', advice })
  try {
    return fromJson(schema, json)
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause)
    throw new InvalidArgumentError(shortened(plainText(message), messageLengthMax), { cause })
  }
}

/** What the protobuf library says, without the names that it and JavaScript have for types. */
function plainText(message: string): string {
  return message
    .replace('google.protobuf.', '')
    .replace(/expected (?:bigint|number) \((u?)int(?:32|64)\):/, (_, unsigned) =>
      unsigned === 'u' ? 'expected a whole number, not below zero:' : 'expected a whole number:',
    )
}

/** Where a value stands: `path` is empty for the whole. */
interface Place {
  readonly what: string
  readonly path: string
  readonly advice: FieldAdvice
}

function below(place: Place, step: string): Place {
  const path =
    place.path === '' || step.startsWith('[') ? place.path + step : `${place.path}.${step}`
  return { ...place, path }
}

/**
 * `value` as the JSON form that our protobuf library reads: with Go's durations rewritten.
 *
 * @throws {InvalidArgumentError} for fields that `message` does not have, named as 1.5 names them,
 * and for values of another type than their field's.
 */
function acceptable(message: DescMessage, value: unknown, place: Place): JsonValue {
  if (message.typeName === 'google.protobuf.Duration') return durationValue(value, place)
  if (message.typeName === 'google.protobuf.Timestamp') return timestampValue(value, place)
  if (message.typeName.startsWith('google.protobuf.')) return value as JsonValue
  if (!isObject(value)) throw wrongType(place, 'an object', value)
  const result: Record<string, JsonValue> = {}
  for (const [name, item] of Object.entries(value)) {
    const field = message.fields.find(
      (candidate) => candidate.name === name || candidate.jsonName === name,
    )
    if (field === undefined) throw unknownField(message, name, place)
    // As in jsonpb, null leaves a field as it is.
    if (item !== null) result[name] = fieldValue(field, item, below(place, name))
  }
  return result
}

function fieldValue(field: DescField, item: unknown, place: Place): JsonValue {
  switch (field.fieldKind) {
    case 'list':
      if (!Array.isArray(item)) throw wrongType(place, 'a list', item)
      return item.map((inner, index) => itemValue(field, inner, below(place, `[${index}]`)))
    case 'map':
      if (!isObject(item)) throw wrongType(place, 'an object', item)
      return Object.fromEntries(
        Object.entries(item).map(([key, inner]) => [
          key,
          itemValue(field, inner, below(place, key)),
        ]),
      )
    default:
      return itemValue(field, item, place)
  }
}

function itemValue(
  { message, scalar }: Pick<DescField, 'message' | 'scalar'>,
  item: unknown,
  place: Place,
): JsonValue {
  if (message !== undefined) return acceptable(message, item, place)
  switch (scalar) {
    case ScalarType.STRING:
      if (typeof item !== 'string') throw wrongType(place, 'a text (put it in quotes)', item)
      return item
    case ScalarType.BOOL:
      if (typeof item !== 'boolean') throw wrongType(place, 'true or false (without quotes)', item)
      return item
    case ScalarType.BYTES:
    case undefined:
      return item as JsonValue
    default:
      // 64-bit integers may come as texts, since not every reader of JSON can hold them.
      if (typeof item !== 'number' && !(typeof item === 'string' && isNumber(item))) {
        throw wrongType(place, 'a number', item)
      }
      return item
  }
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isNumber(text: string): boolean {
  return text.trim() !== '' && !Number.isNaN(Number(text))
}

function wrongType({ what, path }: Place, wanted: string, value: unknown): InvalidArgumentError {
  const where = path === '' ? what : shortened(path)
  return new InvalidArgumentError(
    `${where} must be ${wanted}, and is ${shortened(JSON.stringify(value))}`,
  )
}

function unknownField(message: DescMessage, name: string, place: Place): InvalidArgumentError {
  const known = message.fields.flatMap((field) => [field.name, field.jsonName])
  const near = suggestion(name, known)
  const own = place.advice[message.typeName]
  const advice = own !== undefined && Object.hasOwn(own, name) ? own[name] : undefined
  const inside = place.path === '' ? '' : ` (in ${shortened(place.path)})`
  let help = ''
  if (advice !== undefined) help = `: ${advice}`
  else if (near !== undefined) help = `; did you mean ${JSON.stringify(near)}?`
  return new InvalidArgumentError(
    `unknown field ${shortened(JSON.stringify(name))} in ${message.typeName}${inside}${help}`,
  )
}

function durationValue(value: unknown, place: Place): string {
  if (typeof value === 'string') {
    const seconds = goDurationSeconds(value)
    if (seconds !== undefined) return seconds
  }
  throw wrongType(place, 'a duration such as "1h30m" or "90s", below 292 years', value)
}

function timestampValue(value: unknown, place: Place): string {
  if (typeof value === 'string' && /^\d{4}-\d\d-\d\dT\S+$/.test(value)) return value
  throw wrongType(place, 'a time such as "2026-01-31T09:30:00Z"', value)
}
