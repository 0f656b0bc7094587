import {
  type DescField,
  type DescMessage,
  fromJson,
  type JsonValue,
  type MessageShape,
} from '@bufbuild/protobuf'
import { InvalidArgumentError } from '../../base/errors.ts'
import { goDurationSeconds } from './go-duration.ts'

/**
 * A message from its JSON form as 1.5 reads it; `what` is what the whole is called.
 *
 * @throws {InvalidArgumentError}
 */
export function messageFromJson<Desc extends DescMessage>(
  schema: Desc,
  value: unknown,
  what: string,
): MessageShape<Desc> {
  const json = acceptable(schema, value, { what, path: '' })
  try {
    return fromJson(schema, json)
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause)
    throw new InvalidArgumentError(message.replace('google.protobuf.', ''), { cause })
  }
}

/** Where a value stands: `path` is empty for the whole. */
interface Place {
  readonly what: string
  readonly path: string
}

/**
 * `value` as the JSON form that our protobuf library reads: with Go's durations rewritten.
 *
 * @throws {InvalidArgumentError} for fields that `message` does not have, named as 1.5 names them.
 */
function acceptable(message: DescMessage, value: unknown, { what, path }: Place): JsonValue {
  if (message.typeName === 'google.protobuf.Duration') return durationValue(value, path)
  if (message.typeName.startsWith('google.protobuf.')) return value as JsonValue
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    const where = path === '' ? what : path
    throw new InvalidArgumentError(`${where} must be an object, and is ${JSON.stringify(value)}`)
  }
  const result: Record<string, JsonValue> = {}
  for (const [name, item] of Object.entries(value)) {
    const field = message.fields.find(
      (candidate) => candidate.name === name || candidate.jsonName === name,
    )
    if (field === undefined) {
      throw new InvalidArgumentError(`unknown field ${JSON.stringify(name)} in ${message.typeName}`)
    }
    // As in jsonpb, null leaves a field as it is.
    if (item !== null) {
      const place = { what, path: path === '' ? name : `${path}.${name}` }
      result[name] = fieldValue(field, item, place)
    }
  }
  return result
}

function fieldValue(field: DescField, item: unknown, { what, path }: Place): JsonValue {
  if (field.message === undefined) return item as JsonValue
  const { message } = field
  if (field.fieldKind !== 'list') return acceptable(message, item, { what, path })
  if (!Array.isArray(item)) {
    throw new InvalidArgumentError(`${path} must be a list, and is ${JSON.stringify(item)}`)
  }
  return item.map((inner, index) => acceptable(message, inner, { what, path: `${path}[${index}]` }))
}

function durationValue(value: unknown, path: string): string {
  if (typeof value === 'string') {
    const seconds = goDurationSeconds(value)
    if (seconds !== undefined) return seconds
  }
  throw new InvalidArgumentError(
    `${path} must be a duration such as "1h30m" or "90s", and is ${JSON.stringify(value)}`,
  )
}
