// Our messages against bytes that real servers of 1.4 and 1.5 wrote, and against their contract as text.

import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import {
  create,
  createRegistry,
  type DescEnum,
  type DescField,
  type DescMessage,
  type DescMethod,
  equals,
  fromBinary,
  fromJson,
  type JsonValue,
  type Message,
  toBinary,
} from '@bufbuild/protobuf'
import { expect, test } from 'vitest'
import { concatBytes } from '../../src/base/bytes.ts'
import { ValueScanner } from '../../src/base/value-scanner.ts'
import { file_auth } from '../../src/gen/auth_pb.ts'
import { file_health } from '../../src/gen/health_pb.ts'
import { file_pfs } from '../../src/gen/pfs_pb.ts'
import { file_pps } from '../../src/gen/pps_pb.ts'
import { file_version } from '../../src/gen/version_pb.ts'

const files = [file_auth, file_health, file_pfs, file_pps, file_version]
const registry = createRegistry(...files)
/** Numbers of fields and of values from here on are ours, whatever message or enum of 1.5 they are in. */
const ownNumberMin = 1000
/** Values of enums that later releases of 1.x have and we took over, by the name of the enum. */
const laterValues: Readonly<Record<string, readonly number[]>> = {
  'pfs.Delimiter': [3, 4],
  'pps.DatumState': [4],
}
/** Messages that later releases of 1.x have and we took over. */
const laterMessages = ['pfs.Trigger']

/** Of google.protobuf.BytesValue, field `value`. */
const bytesValueTag = 0x0a

const folder = new URL('../fixtures/wire/', import.meta.url)

function readText(name: string): string {
  return readFileSync(new URL(name, folder), 'utf8')
}

function readLines<Line>(name: string): readonly Line[] {
  return readText(name)
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Line)
}

function typeText(field: DescField): string {
  const scalars: Readonly<Record<number, string>> = {
    1: 'double',
    2: 'float',
    3: 'int64',
    4: 'uint64',
    5: 'int32',
    8: 'bool',
    9: 'string',
    12: 'bytes',
    13: 'uint32',
  }
  const named = field.message ?? field.enum
  const element = named?.typeName ?? scalars[field.scalar ?? 0] ?? 'unknown'
  if (field.fieldKind === 'list') return `repeated ${element}`
  return field.fieldKind === 'map' ? `map<${scalars[field.mapKey]}, ${element}>` : element
}

function messageText(message: DescMessage): string {
  const fields = message.fields
    .filter(({ number }) => number < ownNumberMin)
    .map((field) => ({ number: field.number, text: `${field.name} ${typeText(field)}` }))
  const reserved = message.proto.reservedRange.flatMap(({ start, end }) =>
    Array.from({ length: end - start }, (_, index) => ({
      number: start + index,
      text: 'reserved',
    })),
  )
  const lines = [...fields, ...reserved].toSorted((left, right) => left.number - right.number)
  return [
    `message ${message.typeName}`,
    ...lines.map(({ number, text }) => `  ${number} ${text}`),
  ].join('\n')
}

function enumText(desc: DescEnum): string {
  const later = laterValues[desc.typeName] ?? []
  const values = desc.values.filter(
    ({ number }) => number < ownNumberMin && !later.includes(number),
  )
  return [`enum ${desc.typeName}`, ...values.map(({ number, name }) => `  ${number} ${name}`)].join(
    '\n',
  )
}

function methodText(method: DescMethod): string {
  const { input, output, methodKind } = method
  const sent = methodKind === 'client_streaming' ? 'stream ' : ''
  const got = methodKind === 'server_streaming' ? 'stream ' : ''
  const types = `(${sent}${input.typeName}) -> (${got}${output.typeName})`
  return `rpc ${method.parent.typeName}/${method.name} ${types}`
}

function schema(typeName: string): DescMessage {
  const found = registry.getMessage(typeName)
  if (found === undefined) throw new Error(`no message ${typeName}`)
  return found
}

function calledMethod(path: string): DescMethod {
  const [, service = '', name = ''] = path.split('/')
  const found = registry.getService(service)?.methods.find((each) => each.name === name)
  if (found === undefined) throw new Error(`no method ${path}`)
  return found
}

function bytesOf(base64: string): Uint8Array {
  return new Uint8Array(Buffer.from(base64, 'base64'))
}

/** The paths of messages within `value` that hold fields which their descriptor does not know. */
function unknownFields(value: unknown, path = ''): readonly string[] {
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return []
  const inner = Object.entries(value)
    .filter(([name]) => name !== '$unknown')
    .flatMap(([name, each]) => unknownFields(each, `${path}.${name}`))
  return '$unknown' in value ? [path, ...inner] : inner
}

/** The JSON of 1.4 as protobuf's own: its times were objects, and a list had another name. */
function modernJson(value: unknown): JsonValue {
  if (Array.isArray(value)) return value.map(modernJson)
  if (typeof value !== 'object' || value === null) return value as JsonValue
  const { seconds, nanos = 0, branches } = value as Partial<Record<string, unknown>>
  if (branches !== undefined) return { branch_info: modernJson(branches) }
  if (typeof seconds === 'number' && typeof nanos === 'number') {
    const fraction = String(nanos).padStart(9, '0')
    return `${new Date(seconds * 1000).toISOString().slice(0, 19)}.${fraction}Z`
  }
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, modernJson(each)]))
}

function expectDecoded(desc: DescMessage, bytes: Uint8Array, json: JsonValue): Message {
  const message = fromBinary(desc, bytes)
  expect(unknownFields(message)).toEqual([])
  expect(equals(desc, message, fromJson(desc, json))).toBe(true)
  return message
}

test('values of enums that 1.5.3 does not have are those of later releases', () => {
  const delimiter = registry.getEnum('pfs.Delimiter')
  expect(delimiter?.values.map(({ number, name }) => [number, name])).toEqual([
    [0, 'NONE'],
    [1, 'JSON'],
    [2, 'LINE'],
    [3, 'SQL'],
    [4, 'CSV'],
  ])
})

test('every enum, message and call of 1.5.3 is as its contract says, and there are no others', () => {
  const lines = files
    .flatMap((file) => [
      ...file.enums.map(enumText),
      ...file.messages.filter(({ typeName }) => !laterMessages.includes(typeName)).map(messageText),
      ...file.services.flatMap((service) => service.methods.map(methodText)),
    ])
    .toSorted((left, right) => (left < right ? -1 : 1))
  const contract = readText('contract-1.5.3.txt').replaceAll(/^#.*\n/gm, '')
  expect(`${lines.join('\n')}\n`).toBe(contract)
})

interface StoredRecord {
  readonly type: string
  readonly value: string
  readonly json: JsonValue
}

const records = readLines<StoredRecord>('records-1.5.3.jsonl')

test.each(records)(
  'a stored $type of 1.5.3 has no unknown fields and the values that 1.5.3 printed',
  ({ type, value, json }) => {
    const desc = schema(type)
    const bytes = bytesOf(value)
    const again = toBinary(desc, expectDecoded(desc, bytes, json))
    expect(again.length).toBe(bytes.length)
  },
)

// Maps are written in any order.
const recordsWithoutMap = records.filter(({ type }) => type !== 'pps.PipelineInfo')

test.each(recordsWithoutMap)(
  'a stored $type of 1.5.3 is written with the same bytes',
  ({ type, value }) => {
    const desc = schema(type)
    const bytes = bytesOf(value)
    expect(toBinary(desc, fromBinary(desc, bytes))).toEqual(bytes)
  },
)

interface RecordedCall {
  readonly label: string
  readonly method: string
  readonly request: string
  readonly requestJson: JsonValue
  readonly responses: readonly string[]
  readonly responseJson?: JsonValue
  readonly body?: {
    readonly size: number
    readonly sha256: string
    readonly chunks: readonly number[]
  }
}

const calls = readLines<RecordedCall>('calls-1.4.0.jsonl')

test.each(calls)('messages of a call to 1.4.0 are written with the same bytes: $label', (call) => {
  const { input, output } = calledMethod(call.method)
  const request = bytesOf(call.request)
  const message = expectDecoded(input, request, modernJson(call.requestJson))
  expect(toBinary(input, message)).toEqual(request)
  for (const response of call.responses.map(bytesOf)) {
    expect(toBinary(output, fromBinary(output, response))).toEqual(response)
  }
})

const unaryCalls = calls.flatMap((call) =>
  call.responseJson === undefined ? [] : [{ ...call, responseJson: call.responseJson }],
)

test.each(unaryCalls)('the answer of 1.4.0 has the values that it stands for: $label', (call) => {
  const { output } = calledMethod(call.method)
  expect(call.responses.length).toBe(1)
  expectDecoded(output, bytesOf(call.responses[0] ?? ''), modernJson(call.responseJson))
})

const downloads = calls.flatMap((call) =>
  call.body === undefined ? [] : [{ ...call, ...call.body }],
)

test.each(downloads)('the content that 1.4.0 sent comes out whole: $label', (call) => {
  const pieces = call.responses.map((response) => {
    const scanner = new ValueScanner(bytesValueTag)
    const views = scanner.push(bytesOf(response))
    scanner.end()
    return concatBytes(views)
  })
  expect(pieces.map(({ length }) => length)).toEqual(call.chunks)
  expect(createHash('sha256').update(concatBytes(pieces)).digest('hex')).toBe(call.sha256)
})

test('JSON has the names of 1.5.3, also where they are not in snake case', () => {
  const tags = schema('pfs.ListTagsRequest')
  expect(fromJson(tags, { includeObject: true })).toEqual(create(tags, { includeObject: true }))
  const egress = schema('pps.Egress')
  expect(fromJson(egress, { URL: 's3://b' })).toEqual(create(egress, { URL: 's3://b' }))
})
