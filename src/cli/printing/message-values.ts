import { ScalarType, type DescField, type DescMessage, type MessageShape } from '@bufbuild/protobuf'
import { type ReflectMessage, reflect } from '@bufbuild/protobuf/reflect'

export type Json = string | number | boolean | readonly Json[] | { readonly [name: string]: Json }

/**
 * `wire`: the JSON form of protobuf, as jsonpb of Go writes it. `go`: the form of a Go struct,
 * with the names of the .proto file. `spec`: as people write specs, which jsonpb reads as well.
 */
export type JsonStyle = 'wire' | 'go' | 'spec'

/** A message as a value for JSON: fields in the order of the .proto file, without unset ones. */
export function messageValue<Desc extends DescMessage>(
  schema: Desc,
  message: MessageShape<Desc>,
  style: JsonStyle,
): Json {
  return reflectedValue(reflect(schema, message), style)
}

function reflectedValue(message: ReflectMessage, style: JsonStyle): Json {
  if (style !== 'go') {
    const { typeName } = message.desc
    if (typeName === 'google.protobuf.Timestamp') return timestampText(message)
    if (typeName === 'google.protobuf.Duration') return durationText(message)
  }
  const value: Record<string, Json> = {}
  for (const field of message.fields) {
    if (!message.isSet(field)) continue
    value[style === 'wire' ? field.jsonName : field.name] = fieldValue(message, field, style)
  }
  return value
}

function fieldValue(message: ReflectMessage, field: DescField, style: JsonStyle): Json {
  switch (field.fieldKind) {
    case 'message':
      return reflectedValue(message.get(field), style)
    case 'list':
      return Array.from(message.get(field), (item) => itemValue(field, item, style))
    case 'map': {
      const entries = [...message.get(field)].map(
        ([key, item]) => [String(key), itemValue(field, item, style)] as const,
      )
      entries.sort(([left], [right]) => (left < right ? -1 : 1))
      return Object.fromEntries(entries)
    }
    default:
      return itemValue(field, message.get(field), style)
  }
}

function itemValue(field: DescField, item: unknown, style: JsonStyle): Json {
  if (field.message !== undefined) return reflectedValue(item as ReflectMessage, style)
  if (field.enum !== undefined) {
    const number = item as number
    return style === 'go' ? number : (field.enum.value[number]?.name ?? number)
  }
  if (item instanceof Uint8Array) return Buffer.from(item).toString('base64')
  if (typeof item === 'bigint') return style === 'wire' ? String(item) : Number(item)
  if (field.scalar === ScalarType.FLOAT) return shortestFloat(item as number)
  return item as string | number | boolean
}

/** The shortest decimal that stands for the same 32-bit float. */
function shortestFloat(value: number): number {
  for (let digitCount = 1; digitCount < 9; digitCount += 1) {
    const short = Number(value.toPrecision(digitCount))
    if (Math.fround(short) === value) return short
  }
  return value
}

/** RFC 3339 in UTC with three, six or nine digits of a second's fraction. */
function timestampText(message: ReflectMessage): string {
  const { seconds, nanos } = secondsAndNanos(message)
  const date = new Date(Number(seconds) * 1000).toISOString().slice(0, 19)
  return `${date}.${fractionDigits(nanos)}Z`
}

function durationText(message: ReflectMessage): string {
  const { seconds, nanos } = secondsAndNanos(message)
  const sign = seconds < 0n || nanos < 0 ? '-' : ''
  const whole = seconds < 0n ? -seconds : seconds
  return `${sign}${whole}.${fractionDigits(Math.abs(nanos))}s`
}

function secondsAndNanos({ message }: ReflectMessage): { seconds: bigint; nanos: number } {
  return message as unknown as { seconds: bigint; nanos: number }
}

function fractionDigits(nanos: number): string {
  const digits = String(nanos).padStart(9, '0')
  if (digits.endsWith('000000')) return digits.slice(0, 3)
  return digits.endsWith('000') ? digits.slice(0, 6) : digits
}
